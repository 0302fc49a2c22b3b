// The reference, continued: the linear recurrence of the family.

#include "scalar_math.h"
#include "tables.h"

static void keys(const meander_linear_gates *job, size_t token, size_t head, size_t n) {
  const size_t size = job->state_size, rank = job->rank, skipped = job->tokens - job->outputs;
  const size_t group = head / (job->heads / job->groups), from = group * size + n, slices = group * rank * size + n;
  const size_t at = (token * job->heads + head) * size + n, slice = (token * job->heads + head) * rank * size + n;
  double *pending = job->decays == 1 ? job->pending + head : job->pending + head * size + n;
  double sum = *pending + (double)job->decay[token * job->decay_stride + (size_t)(pending - job->pending)];
  double e = meander_exp(sum);
  bool folds = sum < FOLD_BELOW;
  float factor = folds ? (float)e : 1.0f, grow = folds ? 1.0f : (float)(1 / e), shrink = folds ? 1.0f : (float)e;
  factor = factor < SMALLEST_NORMAL ? 0 : factor;
  job->factors[at] = factor;
  for (size_t r = 0; r < rank; r++)
    job->key[slice + r * size] = grow * job->k[token * job->k_stride + slices + r * size];
  if (job->removal) {
    job->removed[at] = shrink * factor * job->removal[token * job->removal_stride + from];
    const float own = job->replacement ? job->replacement[token * job->replacement_stride + from]
                                       : job->strength[token * job->strength_stride + group]
                                             * job->k[token * job->k_stride + from];
    job->replaced[at] = grow * own;
  }
  if (token < skipped) return;
  float scale = job->reads_before ? (float)meander_exp(*pending) : shrink;
  for (size_t r = 0; r < rank; r++)
    job->read[slice - skipped * job->heads * rank * size + r * size] =
        scale * job->q[(token - skipped) * job->q_stride + slices + r * size];
}

void meander_scalar_linear_gates(const meander_linear_gates *job, size_t first_head, size_t end_head) {
  for (size_t head = first_head; head < end_head; head++)
    for (size_t token = 0; token < job->tokens; token++) {
      for (size_t n = 0; n < job->state_size; n++) keys(job, token, head, n);
      for (size_t i = head * job->decays; i < (head + 1) * job->decays; i++) {
        double decay = job->decay[token * job->decay_stride + i], sum = job->pending[i] + decay;
        job->total[i] += decay;
        job->pending[i] = sum < FOLD_BELOW ? 0 : sum;
      }
    }
}

static void place(const meander_linear_scan *job, size_t head, size_t p) {
  const size_t size = job->state_size, width = job->head_width, rank = job->rank, skipped = job->tokens - job->outputs;
  float *state = job->state + head * size * width + p;
  for (size_t token = 0; token < job->tokens; token++) {
    const size_t at = (token * job->heads + head) * size, out = token - skipped;
    const float *key = job->key + at * rank, *v = job->v + token * job->v_stride + head * rank * width + p;
    float d = 0;
    for (size_t n = 0; job->removed && n < size; n++) d = fmaf(job->removed[at + n], state[n * width], d);
    for (size_t r = 0; token >= skipped && job->reads_before && r < rank; r++) {
      const float *read = job->read + ((out * job->heads + head) * rank + r) * size;
      float y = 0;
      for (size_t n = 0; n < size; n++) y = fmaf(read[n], state[n * width], y);
      job->y[out * job->y_stride + (head * rank + r) * width + p] = y;
    }
    for (size_t n = 0; n < size; n++) {
      float g = job->factors[at + n] * state[n * width];
      for (size_t r = 0; r < rank; r++) g = fmaf(key[r * size + n], v[r * width], g);
      state[n * width] = job->removed ? fmaf(job->replaced[at + n], d, g) : g;
    }
    for (size_t r = 0; token >= skipped && !job->reads_before && r < rank; r++) {
      const float *read = job->read + ((out * job->heads + head) * rank + r) * size;
      float y = 0;
      for (size_t n = 0; n < size; n++) y = fmaf(read[n], state[n * width], y);
      job->y[out * job->y_stride + (head * rank + r) * width + p] = y;
    }
  }
}

void meander_scalar_linear_scan(const meander_linear_scan *job, size_t first_block, size_t end_block) {
  const size_t blocks = (job->head_width + MEANDER_LINEAR_BLOCK - 1) / MEANDER_LINEAR_BLOCK;
  for (size_t index = first_block; index < end_block; index++) {
    size_t first = index % blocks * MEANDER_LINEAR_BLOCK, end = first + MEANDER_LINEAR_BLOCK;
    if (end > job->head_width) end = job->head_width;
    for (size_t p = first; p < end; p++) place(job, index / blocks, p);
  }
}

void meander_scalar_heads_dot(const meander_heads *job, size_t first_row, size_t end_row) {
  for (size_t row = first_row; row < end_row; row++)
    for (size_t head = 0; head < job->heads; head++) {
      const float *a = job->a + row * job->a_stride + head * job->width;
      float *y = job->y + row * job->y_stride + head, sums[MEANDER_BLOCK] = {0};
      for (size_t i = 0; i < job->width; i++) {
        float b = job->b ? job->b[row * job->b_stride + head * job->width + i] : 1;
        sums[i % MEANDER_BLOCK] = fmaf(a[i], b, sums[i % MEANDER_BLOCK]);
      }
      float sum = sum_of_parts(sums);
      *y = job->adding ? *y + sum : sum;
    }
}

void meander_scalar_heads_scale(const meander_heads *job, size_t first_row, size_t end_row) {
  for (size_t row = first_row; row < end_row; row++)
    for (size_t head = 0; head < job->heads; head++)
      for (size_t i = 0; i < job->width; i++) {
        float *y = job->y + row * job->y_stride + head * job->width + i;
        float value = job->b[row * job->b_stride + head] * job->a[row * job->a_stride + head * job->width + i];
        *y = job->adding ? *y + value : value;
      }
}
