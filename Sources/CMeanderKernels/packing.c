#include <string.h>

#include "CMeanderKernels.h"

// To the nearest bf16, ties to even; a NaN stays one.
static uint16_t to_bf16(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  if (value != value) return (uint16_t)(bits >> 16 | 0x40);
  return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static float from_bf16(uint16_t value) {
  uint32_t bits = (uint32_t)value << 16;
  float result;
  memcpy(&result, &bits, sizeof result);
  return result;
}

void meander_pack_row(void *weight, bool is_bf16, size_t inner, size_t output, const float *row) {
  size_t panel = output / MEANDER_BLOCK, lane = output % MEANDER_BLOCK;
  if (is_bf16) {
    uint16_t *values = (uint16_t *)weight + panel * MEANDER_BLOCK * (inner + inner % 2);
    for (size_t k = 0; k < inner; k++) values[(k / 2 * MEANDER_BLOCK + lane) * 2 + k % 2] = to_bf16(row[k]);
  } else {
    float *values = (float *)weight + panel * MEANDER_BLOCK * inner;
    for (size_t k = 0; k < inner; k++) values[k * MEANDER_BLOCK + lane] = row[k];
  }
}

void meander_unpack_row(const void *weight, bool is_bf16, size_t inner, size_t output, float *row) {
  size_t panel = output / MEANDER_BLOCK, lane = output % MEANDER_BLOCK;
  if (is_bf16) {
    const uint16_t *values = (const uint16_t *)weight + panel * MEANDER_BLOCK * (inner + inner % 2);
    for (size_t k = 0; k < inner; k++) row[k] = from_bf16(values[(k / 2 * MEANDER_BLOCK + lane) * 2 + k % 2]);
  } else {
    const float *values = (const float *)weight + panel * MEANDER_BLOCK * inner;
    for (size_t k = 0; k < inner; k++) row[k] = values[k * MEANDER_BLOCK + lane];
  }
}
