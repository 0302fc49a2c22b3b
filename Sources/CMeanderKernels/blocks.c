// The block types of GGUF files, as ggml defines them, taken apart into codes, scales and minima.

#include <string.h>

#include "CMeanderKernels.h"
#include "packed_blocks.h"

// A product and a sum that are rounded each by itself, on every CPU.
#pragma STDC FP_CONTRACT OFF

const meander_block_layout *meander_layout_of_blocks(meander_block_kind kind) {
  static const meander_block_layout layouts[] = {
      // count, bytes, run, offset, minimum, nibble, halves
      [meander_q4_0] = {32, 18, 32, 8, false, true, true},
      [meander_q4_1] = {32, 20, 32, 0, true, true, true},
      [meander_q5_0] = {32, 22, 32, 16, false, false, true},
      [meander_q5_1] = {32, 24, 32, 0, true, false, true},
      [meander_q8_0] = {32, 34, 32, 128, false, false, true},
      [meander_q2_k] = {256, 84, 16, 0, true, true, false},
      [meander_q3_k] = {256, 110, 16, 4, false, true, false},
      [meander_q4_k] = {256, 144, 32, 0, true, true, false},
      [meander_q5_k] = {256, 176, 32, 0, true, false, false},
      [meander_q6_k] = {256, 210, 16, 32, false, false, false},
      [meander_iq4_nl] = {32, 18, 32, 128, false, false, true},
      [meander_iq4_xs] = {256, 136, 32, 128, false, false, false},
  };
  return &layouts[kind];
}

static float half_at(const uint8_t *bytes) { return float_of_half((uint32_t)bytes[0] | (uint32_t)bytes[1] << 8); }

// Low nibbles of 16 bytes are the first 16 codes of a block of 32, high ones the others.
static void nibbles(const uint8_t *bytes, uint8_t *codes) {
  for (size_t i = 0; i < 16; i++) {
    codes[i] = bytes[i] & 15;
    codes[16 + i] = bytes[i] >> 4;
  }
}

// The fifth bit of 32 codes.
static void fifth_bits(const uint8_t *bytes, uint8_t *codes) {
  for (size_t i = 0; i < 32; i++) codes[i] |= (bytes[i / 8] >> i % 8 & 1) << 4;
}

// A code of four bits stands for one of these, to be subtracted 128 from.
static void nonlinear(const uint8_t *bytes, uint8_t *codes) {
  static const uint8_t values[16] = {1, 24, 45, 63, 79, 93, 106, 118, 129, 141, 153, 166, 181, 197, 217, 241};
  nibbles(bytes, codes);
  for (size_t i = 0; i < 32; i++) codes[i] = values[codes[i]];
}

// The eight scales and minima of six bits in the twelve bytes of a Q4_K or Q5_K block.
static void scales_of_six_bits(
    const uint8_t *bytes, float scale, float minimum, float *scales, float *minima) {
  for (size_t i = 0; i < 8; i++) {
    unsigned factor = bytes[i % 4] & 63, subtrahend = bytes[4 + i % 4] & 63;
    if (i >= 4) {
      factor = (bytes[i + 4] & 15) | bytes[i - 4] >> 6 << 4;
      subtrahend = bytes[i + 4] >> 4 | bytes[i] >> 6 << 4;
    }
    scales[i] = scale * (float)factor;
    minima[i] = -(minimum * (float)subtrahend);
  }
}

static void decode_q2_k(const uint8_t *block, uint8_t *codes, float *scales, float *minima) {
  const uint8_t *pairs = block + 16;
  const float scale = half_at(block + 80), minimum = half_at(block + 82);
  for (size_t i = 0; i < 16; i++) {
    scales[i] = scale * (float)(block[i] & 15);
    minima[i] = -(minimum * (float)(block[i] >> 4));
  }
  for (size_t i = 0; i < 256; i++) codes[i] = pairs[i / 128 * 32 + i % 32] >> i % 128 / 32 * 2 & 3;
}

static void decode_q3_k(const uint8_t *block, uint8_t *codes, float *scales) {
  const uint8_t *high = block, *pairs = block + 32, *packed = block + 96;
  const float scale = half_at(block + 108);
  for (size_t i = 0; i < 16; i++) {
    unsigned low = i < 8 ? packed[i] & 15 : packed[i - 8] >> 4;
    scales[i] = scale * (float)((int)(low | (packed[8 + i % 4] >> i / 4 * 2 & 3) << 4) - 32);
  }
  for (size_t i = 0; i < 256; i++)
    codes[i] = (pairs[i / 128 * 32 + i % 32] >> i % 128 / 32 * 2 & 3) | (high[i % 32] >> i / 32 & 1) << 2;
}

static void decode_q4_k(const uint8_t *block, uint8_t *codes, float *scales, float *minima) {
  scales_of_six_bits(block + 4, half_at(block), half_at(block + 2), scales, minima);
  for (size_t i = 0; i < 256; i++) codes[i] = block[16 + i / 64 * 32 + i % 32] >> i % 64 / 32 * 4 & 15;
}

static void decode_q5_k(const uint8_t *block, uint8_t *codes, float *scales, float *minima) {
  const uint8_t *high = block + 16, *low = block + 48;
  scales_of_six_bits(block + 4, half_at(block), half_at(block + 2), scales, minima);
  for (size_t i = 0; i < 256; i++)
    codes[i] = (low[i / 64 * 32 + i % 32] >> i % 64 / 32 * 4 & 15) | (high[i % 32] >> i / 32 & 1) << 4;
}

static void decode_q6_k(const uint8_t *block, uint8_t *codes, float *scales) {
  const uint8_t *low = block, *high = block + 128;
  const float scale = half_at(block + 208);
  for (size_t i = 0; i < 16; i++) scales[i] = scale * (float)(int8_t)block[192 + i];
  for (size_t i = 0; i < 256; i++) {
    unsigned quarter = i % 128 / 32;
    codes[i] = (low[i / 128 * 64 + i % 64] >> quarter / 2 * 4 & 15) |
        (high[i / 128 * 32 + i % 32] >> quarter * 2 & 3) << 4;
  }
}

static void decode_iq4_xs(const uint8_t *block, uint8_t *codes, float *scales) {
  const float scale = half_at(block);
  const unsigned high = (unsigned)block[2] | (unsigned)block[3] << 8;
  for (size_t i = 0; i < 8; i++) {
    unsigned low = block[4 + i / 2] >> i % 2 * 4 & 15;
    scales[i] = scale * (float)((int)(low | (high >> 2 * i & 3) << 4) - 32);
    nonlinear(block + 8 + 16 * i, codes + 32 * i);
  }
}

static void decode_block(meander_block_kind kind, const uint8_t *block, uint8_t *codes, float *scales, float *minima) {
  switch (kind) {
    case meander_q4_0:
      nibbles(block + 2, codes);
      break;
    case meander_q4_1:
      nibbles(block + 4, codes);
      minima[0] = half_at(block + 2);
      break;
    case meander_q5_0:
      nibbles(block + 6, codes);
      fifth_bits(block + 2, codes);
      break;
    case meander_q5_1:
      nibbles(block + 8, codes);
      fifth_bits(block + 4, codes);
      minima[0] = half_at(block + 2);
      break;
    case meander_q8_0:
      for (size_t i = 0; i < 32; i++) codes[i] = block[2 + i] ^ 0x80;
      break;
    case meander_iq4_nl: nonlinear(block + 2, codes); break;
    case meander_q2_k: decode_q2_k(block, codes, scales, minima); return;
    case meander_q3_k: decode_q3_k(block, codes, scales); return;
    case meander_q4_k: decode_q4_k(block, codes, scales, minima); return;
    case meander_q5_k: decode_q5_k(block, codes, scales, minima); return;
    case meander_q6_k: decode_q6_k(block, codes, scales); return;
    case meander_iq4_xs: decode_iq4_xs(block, codes, scales); return;
  }
  scales[0] = half_at(block);
}

void meander_decode_blocks(
    meander_block_kind kind, const void *bytes, size_t blocks, uint8_t *codes, float *scales, float *minima) {
  const meander_block_layout layout = *meander_layout_of_blocks(kind);
  const size_t runs = layout.count / layout.run;
  if (!layout.has_minimum) memset(minima, 0, blocks * runs * sizeof *minima);
  for (size_t i = 0; i < blocks; i++)
    decode_block(
        kind, (const uint8_t *)bytes + i * layout.byte_count, codes + i * layout.count, scales + i * runs,
        minima + i * runs);
}

void meander_widen_blocks(meander_block_kind kind, const void *bytes, size_t blocks, float *values) {
  const meander_block_layout layout = *meander_layout_of_blocks(kind);
  const size_t runs = layout.count / layout.run;
  uint8_t codes[MEANDER_LARGEST_BLOCK];
  float scales[MEANDER_LARGEST_BLOCK / MEANDER_SHORTEST_RUN], minima[MEANDER_LARGEST_BLOCK / MEANDER_SHORTEST_RUN];
  for (size_t i = 0; i < blocks; i++, values += layout.count) {
    decode_block(kind, (const uint8_t *)bytes + i * layout.byte_count, codes, scales, minima);
    for (size_t run = 0; run < runs; run++)
      for (size_t k = run * layout.run; k < (run + 1) * layout.run; k++) {
        float value = scales[run] * (float)((int)codes[k] - layout.offset);
        values[k] = layout.has_minimum ? value + minima[run] : value;
      }
  }
}
