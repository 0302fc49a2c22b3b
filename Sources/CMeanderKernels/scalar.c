// The reference: every operation written plainly, one number at a time, and the table of last resort.

#include "scalar_math.h"
#include "tables.h"

static float weight_at(const meander_product *job, size_t k, size_t output) {
  if (job->blocks) return packed_value(job->weight, job->blocks, job->inner, output, k);
  size_t panel = output / MEANDER_BLOCK, lane = output % MEANDER_BLOCK;
  if (!job->is_bf16) return ((const float *)job->weight)[(panel * job->inner + k) * MEANDER_BLOCK + lane];
  const uint32_t *pairs = job->weight;
  uint32_t pair = pairs[(panel * ((job->inner + 1) / 2) + k / 2) * MEANDER_BLOCK + lane];
  return float_of(k % 2 ? pair & 0xffff0000 : pair << 16);
}

static void product(
    const meander_product *job, size_t first_row, size_t end_row, size_t first_panel, size_t end_panel) {
  size_t end = end_panel * MEANDER_BLOCK < job->outputs ? end_panel * MEANDER_BLOCK : job->outputs;
  for (size_t row = first_row; row < end_row; row++)
    for (size_t output = first_panel * MEANDER_BLOCK; output < end; output++) {
      const float *x = job->x + row * job->x_stride;
      float *y = job->y + row * job->y_stride + output, sum = 0;
      for (size_t k = 0; k < job->inner; k++) sum = fmaf(x[k], weight_at(job, k, output), sum);
      if (job->bias) sum += job->bias[output];
      *y = job->adding ? *y + sum : sum;
    }
}

#define ELEMENTWISE(function, expression)                                                  \
  static void function(const meander_elementwise *job, size_t first_row, size_t end_row) { \
    for (size_t row = first_row; row < end_row; row++)                                     \
      for (size_t i = 0; i < job->columns; i++) {                                          \
        float a = job->a[row * job->a_stride + i];                                         \
        float b = job->b ? job->b[row * job->b_stride + i] : 0;                            \
        job->y[row * job->y_stride + i] = (expression);                                    \
      }                                                                                    \
  }

ELEMENTWISE(round_to_bf16, ((void)b, scalar_bf16(a)))
ELEMENTWISE(add, a + b)
ELEMENTWISE(multiply, a *b)
ELEMENTWISE(softplus, scalar_softplus(a + b))
ELEMENTWISE(exponential, ((void)b, scalar_exp(a)))

static void norm(const meander_norm *job, size_t first_row, size_t end_row) {
  size_t width = job->columns / job->groups;
  for (size_t row = first_row; row < end_row; row++)
    for (size_t first = 0; first < job->columns; first += width) {
      const float *x = job->x + row * job->x_stride + first;
      float *y = job->y + row * job->y_stride + first, squares[MEANDER_BLOCK] = {0};
      for (size_t i = 0; i < width; i++) {
        float u = x[i];
        if (job->gate) u *= scalar_silu(job->gate[row * job->gate_stride + first + i]);
        y[i] = u;
        squares[i % MEANDER_BLOCK] = fmaf(u, u, squares[i % MEANDER_BLOCK]);
      }
      float scale = 1.0f / sqrtf(sum_of_parts(squares) / (float)width + job->epsilon);
      for (size_t i = 0; i < width; i++) y[i] = job->weight ? y[i] * scale * job->weight[first + i] : y[i] * scale;
    }
}

static void activate(const meander_activation *job, size_t first_row, size_t end_row) {
  const meander_elementwise *rows = &job->rows;
  for (size_t row = first_row; row < end_row; row++)
    for (size_t i = 0; i < rows->columns; i++) {
      float value = scalar_activation(job->kind, rows->a[row * rows->a_stride + i]);
      rows->y[row * rows->y_stride + i] = rows->b ? value * rows->b[row * rows->b_stride + i] : value;
    }
}

static void layer_norm(const meander_layer_norm *job, size_t first_row, size_t end_row) {
  size_t width = job->columns / job->groups;
  for (size_t row = first_row; row < end_row; row++)
    for (size_t first = 0; first < job->columns; first += width) {
      const float *x = job->x + row * job->x_stride + first;
      float *y = job->y + row * job->y_stride + first, sums[MEANDER_BLOCK] = {0}, squares[MEANDER_BLOCK] = {0};
      for (size_t i = 0; i < width; i++) sums[i % MEANDER_BLOCK] += x[i];
      float mean = sum_of_parts(sums) / (float)width;
      for (size_t i = 0; i < width; i++) {
        y[i] = x[i] - mean;
        squares[i % MEANDER_BLOCK] = fmaf(y[i], y[i], squares[i % MEANDER_BLOCK]);
      }
      float scale = 1.0f / sqrtf(sum_of_parts(squares) / (float)width + job->epsilon);
      for (size_t i = 0; i < width; i++) {
        float value = y[i] * scale * job->weight[first + i];
        y[i] = job->bias ? value + job->bias[first + i] : value;
      }
    }
}

static void surprisals(const meander_surprisal *job, size_t first_row, size_t end_row) {
  for (size_t row = first_row; row < end_row; row++) {
    const float *logits = job->logits + row * job->stride;
    float largest = logits[0], sums[MEANDER_BLOCK] = {0};
    for (size_t i = 1; i < job->columns; i++) largest = logits[i] > largest ? logits[i] : largest;
    for (size_t i = 0; i < job->columns; i++) sums[i % MEANDER_BLOCK] += scalar_exp(logits[i] - largest);
    double surprisal = meander_log(sum_of_parts(sums)) + ((double)largest - (double)logits[job->targets[row]]);
    job->surprisals[row] = (float)surprisal;
  }
}

static void statistics(const float *values, size_t count, double *sum_of_squares, float *largest) {
  double part[MEANDER_BLOCK] = {0};
  *largest = 0;
  for (size_t i = 0; i < count; i++) {
    part[i % MEANDER_BLOCK] = fma(values[i], values[i], part[i % MEANDER_BLOCK]);
    *largest = fabsf(values[i]) > *largest ? fabsf(values[i]) : *largest;
  }
  for (size_t width = MEANDER_BLOCK / 2; width > 0; width /= 2)
    for (size_t i = 0; i < width; i++) part[i] += part[i + width];
  *sum_of_squares = part[0];
}

static bool is_supported(void) { return true; }

const meander_table meander_table_scalar = {
    .name = "scalar",
    .is_supported = is_supported,
    .product = product,
    .round_activations = meander_scalar_round_activations,
    .block_product = meander_scalar_block_product,
    .round_to_bf16 = round_to_bf16,
    .add = add,
    .multiply = multiply,
    .activate = activate,
    .softplus = softplus,
    .exponential = exponential,
    .norm = norm,
    .layer_norm = layer_norm,
    .convolution = meander_scalar_convolution,
    .gates = meander_scalar_gates,
    .scan = meander_scalar_scan,
    .channel_scan = meander_scalar_channel_scan,
    .attention = meander_portable_attention,
    .angles = meander_portable_angles,
    .rotate = meander_portable_rotate,
    .spectra = meander_scalar_spectra,
    .spectrum_sums = meander_scalar_spectrum_sums,
    .turn = meander_scalar_turn,
    .turn_back = meander_scalar_turn_back,
    .modal_scan = meander_scalar_modal_scan,
    .lstm_cell = meander_scalar_lstm_cell,
    .heads_dot = meander_scalar_heads_dot,
    .heads_scale = meander_scalar_heads_scale,
    .linear_gates = meander_scalar_linear_gates,
    .linear_scan = meander_scalar_linear_scan,
    .surprisals = surprisals,
    .statistics = statistics,
    .training = &training_table_portable,
};
