#ifndef C_MEANDER_LINEAR_H
#define C_MEANDER_LINEAR_H

#include <stdbool.h>
#include <stddef.h>

#pragma clang assume_nonnull begin

// The linear recurrence of the family: see LinearScan.swift, which says what each letter is.

/// Places of a head's width that one worker takes at a time.
#define MEANDER_LINEAR_BLOCK 64

/// What a token does to a head's stored state, with the decay that is pending taken in. `decay`: T × (H·decays), where a head
/// has one decay or one for each of its N keys; q: outputs × (G·R·N); k: T × (G·R·N); removal, replacement: T × (G·N);
/// strength: T × G, where the replacement is that times k; factors, removed, replaced: T × (H·N); key: T × (H·R·N); read:
/// outputs × (H·R·N). R, the rank, is 1 where there is a removal.
typedef struct {
  const float *decay;
  size_t decay_stride;
  const float *_Nullable q;
  size_t q_stride;
  const float *k;
  size_t k_stride;
  const float *_Nullable removal;
  size_t removal_stride;
  const float *_Nullable replacement;
  size_t replacement_stride;
  const float *_Nullable strength;
  size_t strength_stride;
  double *pending, *total;
  float *factors, *read, *key;
  float *_Nullable removed;
  float *_Nullable replaced;
  size_t tokens, outputs, heads, groups, state_size, decays, rank;
  bool reads_before;
} meander_linear_gates;

/// G[n, p] = f[n]·G[n, p] + Σ_r key[r, n]·v[r, p] + replaced[n]·Σ_m removed[m]·G[m, p]; y[r, p] = Σ_n read[r, n]·G[n, p], of
/// G after the token or before it. v: T × (H·R·P); state: H × N × P; y: outputs × (H·R·P); the others as `gates` left them.
typedef struct {
  const float *v;
  size_t v_stride;
  const float *factors, *read, *key;
  const float *_Nullable removed;
  const float *_Nullable replaced;
  float *state;
  float *_Nullable y;
  size_t y_stride;
  size_t tokens, outputs, heads, head_width, state_size, rank;
  bool reads_before;
} meander_linear_scan;

/// One head over a chunk, or over several of them, a part after the other: see LinearChunk.swift. Scales everything to the stored state, in blocks whose rows are a token's slices, one
/// token after the other; finds scores = A·Kᵀ of what is written before it is read and, where something is removed, W; writes
/// y = q̂·G + scores·W where there is a y, and moves the state, G += Kᵀ·W, where it `moves`.
typedef struct {
  /// Of the head, q, k, removal, replacement: a row of rank · N for each token, v: of rank · P, strength: one number.
  const float *q;
  size_t q_stride;
  const float *k;
  size_t k_stride;
  const float *_Nullable removal;
  size_t removal_stride;
  const float *_Nullable replacement;
  size_t replacement_stride;
  const float *_Nullable strength;
  size_t strength_stride;
  const float *v;
  size_t v_stride;
  /// c before the first token and after each, and exp(c) and exp(-c): (tokens + 1) × decays.
  const double *sums;
  float *shrink, *grow;
  /// A and K of a part: blocks of rows × stride. Rows are a multiple of 16, behind the tokens' slices all zeros; the stride, and that of the
  /// values, is a multiple of 16 or 32 from N or P on, filled with zeros.
  float *reads, *writes;
  /// A strength for each row.
  float *_Nullable strengths;
  /// rows of A × rows of K.
  float *scores;
  /// W: as many blocks as K has, of rows × value_stride; and what the removals find, one block.
  float *values;
  float *_Nullable found;
  /// Panels of 32 columns, one after the other, each of stride × 32: N × P, and zeros beyond.
  float *state;
  float *_Nullable y;
  size_t y_stride;
  /// Kᵀ: stride × rows of K.
  float *turned;
  /// `ahead`: tokens behind these that are read next; `span`: tokens of a part, which are taken one after the other where there is
  /// a y. What is written is that of the last part.
  size_t tokens, ahead, span, rank, rows, stride, value_stride, state_size, head_width, decays;
  bool reads_before, moves;
} meander_linear_chunk;

/// x = (1 - Lᵀ)⁻¹·x for a strictly lower L (rows × rows); x: rows × columns.
typedef struct {
  const float *lower;
  size_t lower_stride;
  float *x;
  size_t x_stride;
  size_t rows, columns;
} meander_unit_solve;

/// The selective scan of Mamba-1 over channels: see `channelScan` in ChannelScan.swift.
typedef struct {
  const float *x;
  size_t x_stride;
  /// What is inserted, T × I, where it is not sB·dt·x.
  const float *_Nullable input;
  size_t input_stride;
  const float *dt;
  size_t dt_stride;
  const float *rate;
  size_t rate_stride;
  const float *b;
  size_t b_stride;
  const float *_Nullable c;
  size_t c_stride;
  const float *skip;
  float *state;
  size_t state_stride;
  float *rest;
  size_t rest_stride;
  float *_Nullable y;
  size_t y_stride;
  size_t tokens, outputs, channels, state_size;
  /// The gate transform of the whole layer: sA, ln cA and sB; 1, 0 and 1 leave the bits as they are.
  float rate_scale, log_retention, insertion;
} meander_channel_scan;

/// Row by row over H heads of P columns, added to y where `adding`: `dot` y[h] = Σ_p a[h, p]·b[h, p] (b of ones where there is
/// none), `scale` y[h, p] = a[h, p]·b[h]. A `b_stride` of zero repeats one row.
typedef struct {
  const float *a;
  size_t a_stride;
  const float *_Nullable b;
  size_t b_stride;
  float *y;
  size_t y_stride;
  size_t heads, width;
  bool adding;
} meander_heads;

#pragma clang assume_nonnull end

#endif
