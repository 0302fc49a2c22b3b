// Values rounded to the block types that are written.

#include <math.h>
#include <string.h>

#include "CMeanderKernels.h"
#include "packed_blocks.h"

#pragma STDC FP_CONTRACT OFF

// The nearest half, ties to even.
static uint16_t nearest_half(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  const uint16_t sign = bits >> 16 & 0x8000;
  const float magnitude = fabsf(value);
  if (magnitude >= 65520.0f) return sign | 0x7c00;
  // Subnormal halves are whole multiples of 2^-24, which lrintf rounds to.
  if (magnitude < 0x1p-14f) return sign | (uint16_t)lrintf(magnitude * 0x1p24f);
  memcpy(&bits, &magnitude, sizeof bits);
  bits += 0xfff + (bits >> 13 & 1);
  return sign | (uint16_t)((bits >> 13) - (112 << 10));
}

// Writes the nearest half and gives what was written.
static float put_nearest_half(uint8_t *to, float value) {
  const uint16_t half = nearest_half(value);
  put_half(to, half);
  return float_of_half(half);
}

static int code_of(float value, float inverse, int offset, int most) {
  const long code = lrintf(value * inverse) + offset;
  return code < 0 ? 0 : code > most ? most : (int)code;
}

static void encode_q8_0(const float *values, uint8_t *block) {
  float largest = 0;
  for (size_t i = 0; i < 32; i++) largest = fmaxf(largest, fabsf(values[i]));
  const float scale = put_nearest_half(block, largest / 127), inverse = scale > 0 ? 1 / scale : 0;
  for (size_t i = 0; i < 32; i++) block[2 + i] = (uint8_t)(code_of(values[i], inverse, 127, 254) - 127);
}

// The number of the largest magnitude gets the code -8, which has no counterpart.
static void encode_q4_0(const float *values, uint8_t *block) {
  float largest = 0;
  for (size_t i = 0; i < 32; i++) largest = fabsf(values[i]) > fabsf(largest) ? values[i] : largest;
  const float scale = put_nearest_half(block, largest / -8), inverse = scale != 0 ? 1 / scale : 0;
  for (size_t i = 0; i < 16; i++)
    block[2 + i] = (uint8_t)(code_of(values[i], inverse, 8, 15) | code_of(values[16 + i], inverse, 8, 15) << 4);
}

// Scale and minimum (zero or below) of 32 numbers in 16 steps: of several scales near the range's, each with the best line
// through its codes, the one of the least squared error.
static void line_of(const float *values, float *scale, float *minimum) {
  float low = 0, high = 0, least = INFINITY;
  for (size_t i = 0; i < 32; i++) {
    low = fminf(low, values[i]);
    high = fmaxf(high, values[i]);
  }
  *scale = (high - low) / 15;
  *minimum = low;
  if (!(high > low)) return;
  for (int step = -8; step <= 8; step++) {
    const float inverse = (15 + 0.1f * (float)step) / (high - low);
    double sum = 0, squares = 0, products = 0, total = 0;
    int codes[32];
    for (size_t i = 0; i < 32; i++) {
      codes[i] = code_of(values[i] - low, inverse, 0, 15);
      sum += codes[i];
      squares += codes[i] * codes[i];
      products += codes[i] * (double)values[i];
      total += (double)values[i];
    }
    const double determinant = 32 * squares - sum * sum;
    if (determinant <= 0) continue;
    double slope = (32 * products - sum * total) / determinant, start = (total - slope * sum) / 32;
    if (start > 0) {
      start = 0;
      slope = squares > 0 ? products / squares : 0;
    }
    double error = 0;
    for (size_t i = 0; i < 32; i++) {
      const double difference = slope * codes[i] + start - (double)values[i];
      error += difference * difference;
    }
    if (slope > 0 && error < (double)least) {
      least = (float)error;
      *scale = (float)slope;
      *minimum = (float)start;
    }
  }
}

static void encode_q4_k(const float *values, uint8_t *block) {
  float scales[8], minima[8], scale = 0, minimum = 0;
  for (size_t run = 0; run < 8; run++) {
    line_of(values + 32 * run, &scales[run], &minima[run]);
    scale = fmaxf(scale, scales[run]);
    minimum = fmaxf(minimum, -minima[run]);
  }
  memset(block, 0, 144);
  scale = put_nearest_half(block, scale / 63);
  minimum = put_nearest_half(block + 2, minimum / 63);
  uint8_t *packed = block + 4;
  for (size_t run = 0; run < 8; run++) {
    const int factor = code_of(scales[run], scale > 0 ? 1 / scale : 0, 0, 63);
    const int subtrahend = code_of(-minima[run], minimum > 0 ? 1 / minimum : 0, 0, 63);
    if (run < 4) {
      packed[run] |= (uint8_t)factor;
      packed[run + 4] |= (uint8_t)subtrahend;
    } else {
      packed[run + 4] |= (uint8_t)((factor & 15) | (subtrahend & 15) << 4);
      packed[run - 4] |= (uint8_t)(factor >> 4 << 6);
      packed[run] |= (uint8_t)(subtrahend >> 4 << 6);
    }
    const float step = scale * (float)factor, inverse = step > 0 ? 1 / step : 0, start = minimum * (float)subtrahend;
    for (size_t i = 0; i < 32; i++) {
      const int code = code_of(values[32 * run + i] + start, inverse, 0, 15);
      block[16 + run / 2 * 32 + i] |= (uint8_t)(code << run % 2 * 4);
    }
  }
}

bool meander_encode_blocks(meander_block_kind kind, const float *values, size_t blocks, void *bytes) {
  void (*encode)(const float *, uint8_t *);
  switch (kind) {
    case meander_q8_0: encode = encode_q8_0; break;
    case meander_q4_0: encode = encode_q4_0; break;
    case meander_q4_k: encode = encode_q4_k; break;
    default: return false;
  }
  const meander_block_layout *layout = meander_layout_of_blocks(kind);
  for (size_t i = 0; i < blocks; i++) encode(values + i * layout->count, (uint8_t *)bytes + i * layout->byte_count);
  return true;
}
