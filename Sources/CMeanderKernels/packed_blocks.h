#ifndef MEANDER_PACKED_BLOCKS_H
#define MEANDER_PACKED_BLOCKS_H

// Where things lie in a packed weight of blocks, for the C files that read it number by number.

#include <string.h>

#include "CMeanderKernels.h"

static inline size_t packed_scale_bytes(const meander_block_layout *layout) { return layout->scales_are_halves ? 2 : 4; }

// Where in a panel the scales begin, and the minima.
static inline size_t packed_scales(const meander_block_layout *layout, size_t inner) {
  return inner * MEANDER_BLOCK / (layout->fits_nibble ? 2 : 1);
}
static inline size_t packed_minima(const meander_block_layout *layout, size_t inner) {
  return packed_scales(layout, inner) + inner / layout->run * MEANDER_BLOCK * packed_scale_bytes(layout);
}

// Exactly: exponent and mantissa moved in place and rescaled by 2^112; infinity and NaN get their exponent back.
static inline float float_of_half(uint32_t half) {
  uint32_t magnitude = (half & 0x7fff) << 13, bits;
  float value;
  memcpy(&value, &magnitude, sizeof value);
  value *= 0x1p112f;
  memcpy(&bits, &value, sizeof bits);
  bits |= (magnitude >= 0x0f800000 ? 0x7f800000 : 0) | (half & 0x8000) << 16;
  memcpy(&value, &bits, sizeof value);
  return value;
}

static inline void put_half(void *to, uint16_t half) { memcpy(to, &half, sizeof half); }

static inline float packed_scale(const uint8_t *from, const meander_block_layout *layout, size_t index) {
  float value;
  uint16_t half;
  if (!layout->scales_are_halves) {
    memcpy(&value, from + 4 * index, sizeof value);
    return value;
  }
  memcpy(&half, from + 2 * index, sizeof half);
  return float_of_half(half);
}

static inline const uint8_t *packed_panel(
    const void *weight, const meander_block_layout *layout, size_t inner, size_t output) {
  return (const uint8_t *)weight + output / MEANDER_BLOCK * meander_bytes_of_panel(layout, inner);
}

// A code less its offset.
static inline int packed_code(const uint8_t *panel, const meander_block_layout *layout, size_t lane, size_t k) {
  if (layout->fits_nibble) return (panel[k / 8 * 64 + lane * 4 + k % 4] >> k / 4 % 2 * 4 & 15) - layout->offset;
  return panel[k / 4 * 64 + lane * 4 + k % 4] - 128;
}

static inline float packed_value(
    const void *weight, const meander_block_layout *layout, size_t inner, size_t output, size_t k) {
  const uint8_t *panel = packed_panel(weight, layout, inner, output);
  const size_t lane = output % MEANDER_BLOCK, place = k / layout->run * MEANDER_BLOCK + lane;
  float value =
      packed_scale(panel + packed_scales(layout, inner), layout, place) * (float)packed_code(panel, layout, lane, k);
  return layout->has_minimum ? value + packed_scale(panel + packed_minima(layout, inner), layout, place) : value;
}

#endif
