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

meander_block_layout meander_layout_of_blocks(meander_block_kind kind);

/// The codes of `blocks` blocks, a byte each, and the scale and minimum of each run; minima are zero where there are none.
void meander_decode_blocks(
    meander_block_kind kind, const void *bytes, size_t blocks, uint8_t *codes, float *scales, float *minima);

/// The values of `blocks` blocks.
void meander_widen_blocks(meander_block_kind kind, const void *bytes, size_t blocks, float *values);

#pragma clang assume_nonnull end

#endif
