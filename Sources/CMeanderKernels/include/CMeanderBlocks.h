#ifndef C_MEANDER_BLOCKS_H
#define C_MEANDER_BLOCKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#pragma clang assume_nonnull begin

// Quantised weights, as GGUF files hold them: blocks of numbers that share scales. Whatever the type, a number is
//
//     value = scale · (code − offset) + minimum
//
// with a code of eight bits at most and a scale (and perhaps a minimum) for each run of 16 or 32 numbers, so that one
// definition serves reading, packing and the products. Scales are exact in fp32: a half times an integer of few bits.

/// Numbers in the largest block of any type.
#define MEANDER_LARGEST_BLOCK 256
/// The shortest run of numbers that share a scale.
#define MEANDER_SHORTEST_RUN 16

typedef enum __attribute__((enum_extensibility(closed))) {
  meander_q4_0,
  meander_q4_1,
  meander_q5_0,
  meander_q5_1,
  meander_q8_0,
  meander_q2_k,
  meander_q3_k,
  meander_q4_k,
  meander_q5_k,
  meander_q6_k,
  meander_iq4_nl,
  meander_iq4_xs,
} meander_block_kind;

/// How a type's blocks are laid out, and what their numbers are made of.
typedef struct {
  /// Numbers and bytes in a block.
  size_t count, byte_count;
  /// Numbers that share a scale: 16 or 32.
  size_t run;
  /// What is subtracted from a code.
  int32_t offset;
  bool has_minimum;
  /// Codes are below 16.
  bool fits_nibble;
  /// Scales and minima are halves as stored.
  bool scales_are_halves;
} meander_block_layout;

/// A constant of the program.
const meander_block_layout *meander_layout_of_blocks(meander_block_kind kind);

/// The codes of `blocks` blocks, a byte each, and the scale and minimum of each run; minima are zero where there are none.
void meander_decode_blocks(
    meander_block_kind kind, const void *bytes, size_t blocks, uint8_t *codes, float *scales, float *minima);

/// The values of `blocks` blocks.
void meander_widen_blocks(meander_block_kind kind, const void *bytes, size_t blocks, float *values);

/// Rounds values to `blocks` blocks: Q8_0, Q4_0 and Q4_K alone, false for the others. Values must be finite.
bool meander_encode_blocks(meander_block_kind kind, const float *values, size_t blocks, void *bytes);

// Packed for the products: panels of 16 outputs. A panel is its codes, then its scales [inner / run][16], then its minima
// likewise, each as halves where these are exact and in fp32 elsewhere. Codes of eight bits lie as [inner / 4][16][4], less
// their offset and plus 128; codes below 16 as [inner / 8][16][4], k to k + 3 in the low nibbles and the next four in the
// high ones. Codes of 16 outputs by four k are then one vector of bytes, as the integer products of CPUs take them.

/// Bytes of a panel; `inner` is a multiple of 32.
size_t meander_bytes_of_panel(const meander_block_layout *layout, size_t inner);
/// Writes row `output` of a packed weight.
void meander_pack_block_row(
    void *weight, const meander_block_layout *layout, size_t inner, size_t output, const uint8_t *codes,
    const float *scales, const float *minima);
/// The values of row `output`.
void meander_unpack_block_row(
    const void *weight, const meander_block_layout *layout, size_t inner, size_t output, float *row);

/// Numbers of an activation that share a scale.
#define MEANDER_ACTIVATION_BLOCK 32

/// 32 activations, rounded to eight bits: value = scale · code.
typedef struct {
  int8_t codes[MEANDER_ACTIVATION_BLOCK];
  float scale;
  /// For each run of the weight (its scales' 16 or 32 numbers): what the sum of products of codes begins with, since the
  /// weight's codes are stored with an offset; and scale · Σ codes, which the minimum is multiplied with.
  int32_t start[2];
  float sum[2];
  int32_t unused[3];
} meander_activations;

/// Rounds rows of activations for a weight of this layout: scale = max |x| / 127, codes to the nearest, ties to even.
typedef struct {
  const float *x;
  size_t x_stride;
  meander_activations *y;
  /// In records.
  size_t y_stride;
  size_t columns;
  meander_block_layout layout;
} meander_activation_rounding;

/// y[t, o] = (adding ? y[t, o] : 0) + (Σ_run (scale_o · scale_t · Σ_k code·code + minimum_o · sum_t) + bias[o]), runs ascending.
typedef struct {
  const meander_activations *x;
  size_t x_stride;
  const void *weight;
  meander_block_layout layout;
  bool adding;
  const float *_Nullable bias;
  float *y;
  size_t y_stride;
  size_t inner, outputs;
} meander_block_product;

#pragma clang assume_nonnull end

#endif
