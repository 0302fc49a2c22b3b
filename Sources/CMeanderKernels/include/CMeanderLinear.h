#ifndef C_MEANDER_LINEAR_H
#define C_MEANDER_LINEAR_H

#include <stdbool.h>
#include <stddef.h>

#pragma clang assume_nonnull begin

// The linear recurrence of the family: see LinearScan.swift, which says what each letter is.

/// Places of a head's width that one worker takes at a time.
#define MEANDER_LINEAR_BLOCK 64

/// What a token does to a head's stored state, with the decay that is pending taken in. `decay`: T × (H·decays), where a head
/// has one decay or one for each of its N keys; q: outputs × (G·N); k, removal, replacement: T × (G·N);
/// factors, key, removed, replaced: T × (H·N); read: outputs × (H·N).
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
  double *pending, *total;
  float *factors, *read, *key;
  float *_Nullable removed;
  float *_Nullable replaced;
  size_t tokens, outputs, heads, groups, state_size, decays;
  bool reads_before;
} meander_linear_gates;

/// G[n, p] = f[n]·G[n, p] + key[n]·v[p] + replaced[n]·Σ_m removed[m]·G[m, p]; y[p] = Σ_n read[n]·G[n, p], of G after the
/// token or before it. v: T × (H·P); state: H × N × P; y: outputs × (H·P); the others as `gates` left them.
typedef struct {
  const float *v;
  size_t v_stride;
  const float *factors, *read, *key;
  const float *_Nullable removed;
  const float *_Nullable replaced;
  float *state;
  float *_Nullable y;
  size_t y_stride;
  size_t tokens, outputs, heads, head_width, state_size;
  bool reads_before;
} meander_linear_scan;

/// Of one head over a chunk: exp(c) before the first token and after each ((Q + 1) × N) and exp(-c) after each (Q × N), where
/// c is `pending` and the decays up to there; `pending` moves on.
typedef struct {
  const float *decay;
  size_t decay_stride;
  double *pending;
  float *shrink, *grow;
  size_t tokens, state_size, decays;
} meander_linear_exponents;

/// x = (1 - L)⁻¹·x for a strictly lower L (rows × rows), or its transpose; x: rows × columns.
typedef struct {
  const float *lower;
  size_t lower_stride;
  float *x;
  size_t x_stride;
  size_t rows, columns;
  bool transposed;
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
