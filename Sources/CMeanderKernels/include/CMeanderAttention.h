#ifndef C_MEANDER_ATTENTION_H
#define C_MEANDER_ATTENTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#pragma clang assume_nonnull begin

/// Queries of one key head that are worked on at a time: where whole rows of scores are needed, and block by block.
#define MEANDER_ATTENTION_ROWS 12
#define MEANDER_ATTENTION_UNIT 72
/// Positions in a block, and room for the scores of one query with it: see lanes/attention_blocks.h.
#define MEANDER_ATTENTION_BLOCK 512
#define MEANDER_ATTENTION_STRIDE (MEANDER_ATTENTION_BLOCK + 16)
/// Places beside a table of biases that a vector may read without using them.
#define MEANDER_BIAS_MARGIN 16

/// Which columns of a row of scores a token sees, and what they count.
/// A row is `first` columns for the positions 0, 1, … and behind them `count` columns for `base`, base + 1, …
typedef struct {
  size_t first, count;
  int64_t base;
  /// A token at t sees positions below `globals`, and t - window + 1 to t.
  int64_t globals, window;
  /// What a score is multiplied with.
  float scale;
  /// Per head, `bias_length` numbers with a margin on both sides: place margin + bias_length - 1 - distance.
  const float *_Nullable bias;
  size_t bias_length;
  /// Distances count no further than this.
  int64_t ceiling;
  /// Softplus in the place of exp: scores are multiplied with `log_width`·ln(N), N being how many positions are seen, and
  /// weights become max(N·weight - offset, 0)^power; a power of 0 leaves them.
  bool softplus;
  float log_width, offset;
  int32_t power;
} meander_attention_row;

/// Attention over a cache: see Attention.swift. Queries T × H·P; the cache per key head: keys [panel][P][16], values
/// [slot][P rounded up to 16]. Slots: `rows.first` for the global tokens, then a ring in which p stands at p mod ring.
typedef struct {
  meander_attention_row rows;
  const float *q;
  size_t q_stride;
  /// The queries as they are at the ceiling's distance from a key that was not turned, with the global keys not turned.
  const float *_Nullable far_q;
  size_t far_stride;
  const float *_Nullable far_keys;
  const float *keys, *values;
  /// What an endless prefix adds to the sums, T × H·P and T × H.
  const float *_Nullable prefix, *_Nullable prefix_weight;
  size_t prefix_stride, prefix_weight_stride;
  float *y;
  size_t y_stride;
  /// The position of the first query.
  int64_t position;
  size_t tokens, heads, key_heads, head_width, ring;
} meander_attention;

/// Angles of `tokens` positions from `position` on: cos and sin of position·frequency, T × pairs, the frequencies in turns.
typedef struct {
  const double *turns;
  float *cosines, *sines;
  size_t stride;
  int64_t position;
  size_t tokens, pairs;
  float magnitude;
} meander_angles;

/// Turns the places (i, i + gap) of every head, or (2i, 2i + 1) where they are neighbours, by the row's angles; an angle stride
/// of 0 repeats one row. Of so many `slices` in a row, all with the same angles, the next ones' begin `angle_head_stride` behind.
/// What is not turned is copied.
typedef struct {
  const float *x;
  size_t x_stride;
  const float *cosines, *sines;
  size_t angle_stride, angle_head_stride;
  float *y;
  size_t y_stride;
  size_t heads, slices, head_width, pairs, gap;
  bool back, neighbors;
} meander_rotation;

/// Rows of one head in training: scores, `count` rows of `stride`, become weights that sum up to one less what the prefix
/// takes, and `lifts` the factor on what the prefix adds.
typedef struct {
  meander_attention_row rows;
  float *scores;
  size_t stride;
  int64_t position;
  size_t count, head;
  const float *_Nullable prefix_weight;
  size_t prefix_weight_stride;
  float *lifts;
} meander_attention_rows;

/// The way back: `dweights` becomes the gradient of the scores. `along`: Σ of the output times its gradient, per row; `raw`: the
/// scores as they were, which softplus needs; `dbias`: of this head, in the table's layout.
typedef struct {
  meander_attention_rows forward;
  const float *raw;
  float *dweights;
  const float *along;
  float *_Nullable dbias;
} meander_attention_rows_backward;

/// Writes one key (P numbers) and one value into a slot of a key head's cache.
static inline void meander_cache_key(float *keys, size_t slot, size_t head_width, const float *key) {
  float *to = keys + slot / 16 * head_width * 16 + slot % 16;
  for (size_t p = 0; p < head_width; p++) to[p * 16] = key[p];
}
/// Reads it back.
static inline void meander_cached_key(const float *keys, size_t slot, size_t head_width, float *key) {
  const float *from = keys + slot / 16 * head_width * 16 + slot % 16;
  for (size_t p = 0; p < head_width; p++) key[p] = from[p * 16];
}

#pragma clang assume_nonnull end

#endif
