// Rows of quantised weights into the packed layout of CMeanderBlocks.h, and back.

#include "packed_blocks.h"

#include <string.h>

#include "CMeanderKernels.h"

#pragma STDC FP_CONTRACT OFF

size_t meander_bytes_of_panel(const meander_block_layout *layout, size_t inner) {
  const size_t minima = layout->has_minimum ? inner / layout->run * MEANDER_BLOCK * packed_scale_bytes(layout) : 0;
  // The next panel's codes begin on a cache line.
  return (packed_minima(layout, inner) + minima + 63) & ~(size_t)63;
}

// The half of a number that is one, subnormal ones, infinities and NaNs included.
static uint16_t half_of(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  uint16_t sign = bits >> 16 & 0x8000;
  uint32_t magnitude = bits & 0x7fffffff;
  if (magnitude >= 0x7f800000) return sign | 0x7c00 | (magnitude > 0x7f800000 ? 0x200 : 0);
  if (magnitude >= 0x38800000) return sign | (uint16_t)((magnitude >> 13) - (112 << 10));
  return sign | (uint16_t)((value < 0 ? -value : value) * 0x1p24f);
}

static void put_scale(uint8_t *to, const meander_block_layout *layout, size_t index, float value) {
  if (layout->scales_are_halves) {
    uint16_t half = half_of(value);
    memcpy(to + 2 * index, &half, sizeof half);
  } else {
    memcpy(to + 4 * index, &value, sizeof value);
  }
}

void meander_pack_block_row(
    void *weight, const meander_block_layout *layout, size_t inner, size_t output, const uint8_t *codes,
    const float *scales, const float *minima) {
  const size_t lane = output % MEANDER_BLOCK;
  uint8_t *panel = (uint8_t *)weight + output / MEANDER_BLOCK * meander_bytes_of_panel(layout, inner);
  for (size_t k = 0; k < inner; k++) {
    if (layout->fits_nibble) {
      panel[k / 8 * 64 + lane * 4 + k % 4] |= codes[k] << k / 4 % 2 * 4;
    } else {
      panel[k / 4 * 64 + lane * 4 + k % 4] = (uint8_t)(codes[k] + 128 - layout->offset);
    }
  }
  for (size_t run = 0; run < inner / layout->run; run++) {
    put_scale(panel + packed_scales(layout, inner), layout, run * MEANDER_BLOCK + lane, scales[run]);
    if (layout->has_minimum)
      put_scale(panel + packed_minima(layout, inner), layout, run * MEANDER_BLOCK + lane, minima[run]);
  }
}

void meander_unpack_block_row(
    const void *weight, const meander_block_layout *layout, size_t inner, size_t output, float *row) {
  for (size_t k = 0; k < inner; k++) row[k] = packed_value(weight, layout, inner, output, k);
}
