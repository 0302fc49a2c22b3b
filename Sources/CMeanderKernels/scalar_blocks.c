// The reference of lanes/block_product.h.

#include "scalar_math.h"
#include "tables.h"

void meander_scalar_round_activations(const meander_activation_rounding *job, size_t first_row, size_t end_row) {
  const int32_t offset = job->layout.fits_nibble ? job->layout.offset : 0;
  for (size_t row = first_row; row < end_row; row++)
    for (size_t block = 0; block < job->columns / MEANDER_ACTIVATION_BLOCK; block++) {
      const float *x = job->x + row * job->x_stride + block * MEANDER_ACTIVATION_BLOCK;
      meander_activations *y = job->y + row * job->y_stride + block;
      // As integers, magnitudes are ordered like the numbers, and NaN is above all.
      uint32_t most = 0;
      for (size_t k = 0; k < MEANDER_ACTIVATION_BLOCK; k++)
        most = (bits_of(x[k]) & 0x7fffffff) > most ? bits_of(x[k]) & 0x7fffffff : most;
      const float magnitude = float_of(most), inverse = magnitude >= 0x1p-100f ? 127.0f / magnitude : 0;
      y->scale = magnitude / 127.0f;
      for (size_t k = 0; k < MEANDER_ACTIVATION_BLOCK; k++)
        y->codes[k] = (int8_t)(bits_of(x[k] * inverse + EXP_MAGIC) - bits_of(EXP_MAGIC));
      for (size_t run = 0; run < MEANDER_ACTIVATION_BLOCK / job->layout.run; run++) {
        int32_t sum = 0;
        for (size_t k = 0; k < job->layout.run; k++) sum += y->codes[run * job->layout.run + k];
        y->start[run] = -offset * sum;
        y->sum[run] = y->scale * (float)sum;
      }
    }
}

void meander_scalar_block_product(
    const meander_block_product *job, size_t first_row, size_t end_row, size_t first_panel, size_t end_panel) {
  const meander_block_layout *layout = &job->layout;
  const size_t end = end_panel * MEANDER_BLOCK < job->outputs ? end_panel * MEANDER_BLOCK : job->outputs;
  for (size_t row = first_row; row < end_row; row++)
    for (size_t output = first_panel * MEANDER_BLOCK; output < end; output++) {
      const uint8_t *panel = packed_panel(job->weight, layout, job->inner, output);
      const uint8_t *scales = panel + packed_scales(layout, job->inner), *minima = panel + packed_minima(layout, job->inner);
      float *y = job->y + row * job->y_stride + output, sum = 0;
      for (size_t run = 0; run < job->inner / layout->run; run++) {
        const size_t start = run * layout->run, place = run * MEANDER_BLOCK + output % MEANDER_BLOCK;
        const meander_activations *x = job->x + row * job->x_stride + start / MEANDER_ACTIVATION_BLOCK;
        int32_t total = 0;
        for (size_t k = start; k < start + layout->run; k++)
          total += packed_code(panel, layout, output % MEANDER_BLOCK, k) * x->codes[k % MEANDER_ACTIVATION_BLOCK];
        sum = fmaf((float)total, packed_scale(scales, layout, place) * x->scale, sum);
        if (layout->has_minimum)
          sum = fmaf(packed_scale(minima, layout, place), x->sum[start % MEANDER_ACTIVATION_BLOCK / layout->run], sum);
      }
      if (job->bias) sum += job->bias[output];
      *y = job->adding ? *y + sum : sum;
    }
}
