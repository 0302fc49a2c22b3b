#ifndef C_MEANDER_TRAINING_H
#define C_MEANDER_TRAINING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "CMeanderAttention.h"
#include "CMeanderLinear.h"

#pragma clang assume_nonnull begin

// What training needs beside the forward operations: the chunked scan, and the way back through each operation. Gradients
// are added to what stands in their places, unless a comment says otherwise. One thread runs a whole job: training shares out
// streams, not rows.

/// y[r, c] = (adding ? y[r, c] : 0) + Σ_k a[r·a_row + k·a_inner]·b[k·b_inner + c·b_column], k ascending.
/// One of the two strides of a, and one of b's, is 1.
typedef struct {
  const float *a;
  size_t a_row, a_inner;
  const float *b;
  size_t b_inner, b_column;
  float *y;
  size_t y_stride;
  size_t rows, columns, inner;
  bool adding;
} meander_matrix_product;

/// dx += the way back of `meander_norm`, whose inputs stand in the same fields; dweight += over all rows.
typedef struct {
  const float *x;
  size_t x_stride;
  const float *_Nullable gate;
  size_t gate_stride;
  const float *weight;
  const float *dy;
  size_t dy_stride;
  float *dx;
  size_t dx_stride;
  float *_Nullable dgate;
  size_t dgate_stride;
  float *_Nullable dweight;
  size_t rows, columns, groups;
  float epsilon;
} meander_norm_backward;

/// dx += the way back of `meander_layer_norm`, whose inputs stand in the same fields; dweight and dbias += over all rows.
typedef struct {
  const float *x;
  size_t x_stride;
  const float *weight;
  const float *dy;
  size_t dy_stride;
  float *dx;
  size_t dx_stride;
  float *_Nullable dweight, *_Nullable dbias;
  size_t rows, columns, groups;
  float epsilon;
} meander_layer_norm_backward;

/// The way back of `meander_activation`: da += dy·b·activation'(a), db += dy·activation(a).
typedef struct {
  const float *a;
  size_t a_stride;
  const float *_Nullable b;
  size_t b_stride;
  const float *dy;
  size_t dy_stride;
  float *da;
  size_t da_stride;
  float *_Nullable db;
  size_t db_stride;
  size_t rows, columns;
  int kind;
} meander_activation_backward;

/// The way back of `meander_convolution` with silu; `taps` are those before the first token, dtaps their gradient.
typedef struct {
  const float *x;
  size_t x_stride;
  const float *taps;
  size_t taps_stride;
  const float *weight;
  size_t weight_stride;
  const float *_Nullable bias;
  const float *dy;
  size_t dy_stride;
  float *dx;
  size_t dx_stride;
  float *dtaps;
  size_t dtaps_stride;
  float *_Nullable dweight;
  size_t dweight_stride;
  float *_Nullable dbias;
  size_t tokens, channels, width;
  bool silu;
} meander_convolution_backward;

/// Time steps of the chunked scan: what `meander_gates` makes of dt, without lazy decay.
/// step: T × H, after limits, scale and filter; decay: T × H, rate·step + log_retention; total += Σ decay.
typedef struct {
  const float *dt;
  size_t dt_stride;
  const double *rate, *log_retention;
  const float *bias, *scale, *threshold, *minimum, *maximum;
  float *step;
  double *decay;
  double *_Nullable total;
  size_t tokens, heads;
} meander_steps;

/// From ddecay and dinsertion (T × H, where the insertion is insertion·step) to dt, its bias, and ln|rate|.
typedef struct {
  meander_steps forward;
  const float *insertion;
  const float *ddecay, *dinsertion;
  float *ddt;
  size_t ddt_stride;
  float *_Nullable dbias, *_Nullable dlog_rate;
} meander_steps_backward;

/// The selective scan of Mamba-2 in chunks of `chunk` tokens (at most 64): see ChunkScan.swift.
/// decay: T × H; step: T × H; insertion: H factors on the step; state: H × N × P, to be multiplied by exp(pending);
/// boundaries: the state before each chunk, chunks × H·N·P; boundary_pending: chunks × H.
typedef struct {
  const float *x;
  size_t x_stride;
  const float *b;
  size_t b_stride;
  const float *c;
  size_t c_stride;
  const double *decay;
  const float *step;
  const float *insertion, *skip;
  float *state;
  double *pending;
  float *_Nullable boundaries;
  double *_Nullable boundary_pending;
  float *_Nullable y;
  size_t y_stride;
  size_t tokens, heads, groups, head_width, state_size, chunk;
  float *scratch;
} meander_chunk_scan;

/// The way back of `forward`, whose boundaries are read; state, pending and y are not.
/// dstate: H × N × P, the gradient of the true state after the last token, and on return before the first;
/// dtotal: per head, the gradient of the sum of all decays. ddecay and dinsertion: T × H, overwritten.
typedef struct {
  meander_chunk_scan forward;
  const float *dy;
  size_t dy_stride;
  float *dstate;
  const double *_Nullable dtotal;
  float *dx;
  size_t dx_stride;
  float *db;
  size_t db_stride;
  float *dc;
  size_t dc_stride;
  float *ddecay, *dinsertion;
  float *_Nullable dskip;
} meander_chunk_scan_backward;

/// The way back of `meander_channel_scan`, without a gate transform; `forward.state` and `rest` are those before the first
/// token, y is not read. dstate: N × I, the gradient of the state after the last token, and on return before the first;
/// states: (T + 1) × N × 16 floats of scratch memory. dinput where there is an input, else dx takes its part.
typedef struct {
  meander_channel_scan forward;
  const float *dy;
  size_t dy_stride;
  float *dx;
  size_t dx_stride;
  float *_Nullable dinput;
  size_t dinput_stride;
  float *ddt;
  size_t ddt_stride;
  float *_Nullable drate;
  size_t drate_stride;
  float *_Nullable db;
  size_t db_stride;
  float *_Nullable dc;
  size_t dc_stride;
  float *_Nullable dskip;
  float *dstate;
  size_t dstate_stride;
  float *states;
} meander_channel_scan_backward;

/// The way back of `meander_lstm_cell`, whose activations, cell before and cell are read. dcell: the gradient of the cell, on
/// return of the cell before; dgates: of the sums, overwritten.
typedef struct {
  const float *gates, *before, *cell, *dhidden;
  float *dcell, *dgates;
  size_t channels;
} meander_lstm_cell_backward;

/// Per row the loss weight·(log Σ exp(logits) - logits[target]), and dlogits = scale·weight·(softmax - onehot), which may
/// stand where the logits stand. losses and hits (1 where the target is the largest logit): T numbers each.
typedef struct {
  const float *logits;
  size_t stride;
  float *dlogits;
  size_t dlogits_stride;
  const int32_t *targets;
  const float *weights;
  float *losses, *hits;
  float scale;
  size_t rows, columns;
} meander_cross_entropy;

/// One step of AdamW over `count` numbers: first = β1·first + (1-β1)·g, second = β2·second + (1-β2)·g², with
/// g = scale·gradient; value -= rate·(first·correction1 / (sqrt(second·correction2) + epsilon) + decay·value).
typedef struct {
  float *value;
  const float *gradient;
  float *first, *second;
  size_t count;
  float scale, rate, beta1, beta2, epsilon, decay, correction1, correction2;
} meander_adam;

/// y += scale·x, row by row, or all rows of x into the one row of y.
typedef struct {
  const float *x;
  size_t x_stride;
  float *y;
  size_t y_stride;
  size_t rows, columns;
  float scale;
} meander_row_sum;

/// The functions of one instruction table for training. Each does the whole job.
typedef struct {
  void (*product)(const meander_matrix_product *job);
  void (*norm_backward)(const meander_norm_backward *job);
  void (*layer_norm_backward)(const meander_layer_norm_backward *job);
  void (*activation_backward)(const meander_activation_backward *job);
  void (*convolution_backward)(const meander_convolution_backward *job);
  void (*steps)(const meander_steps *job);
  void (*steps_backward)(const meander_steps_backward *job);
  void (*chunk_scan)(const meander_chunk_scan *job);
  void (*chunk_scan_backward)(const meander_chunk_scan_backward *job);
  void (*attention_rows)(const meander_attention_rows *job);
  void (*attention_rows_backward)(const meander_attention_rows_backward *job);
  void (*channel_scan_backward)(const meander_channel_scan_backward *job);
  void (*lstm_cell_backward)(const meander_lstm_cell_backward *job);
  void (*linear_chunk)(const meander_linear_chunk *job);
  void (*unit_solve)(const meander_unit_solve *job);
  void (*cross_entropy)(const meander_cross_entropy *job);
  void (*adam)(const meander_adam *job);
  /// y[r] += scale·x[r].
  void (*add_scaled)(const meander_row_sum *job);
  /// y[0] += Σ_r x[r].
  void (*sum_rows)(const meander_row_sum *job);
  /// Σ x·y in fp32.
  float (*dot)(const float *x, const float *y, size_t count);
} meander_training_table;

/// Zeros where a row of slices meets slices of its own token or of later ones; scores: blocks of rows × rows.
static inline void meander_clear_later(
    float *scores, size_t stride, size_t rows, size_t rank, size_t read_blocks, size_t write_blocks) {
  for (size_t i = 0; i < read_blocks * rows; i++) {
    const size_t first = i % rows / rank * rank;
    for (size_t block = 0; block < write_blocks; block++) {
      float *row = scores + i * stride + block * rows;
      for (size_t j = first; j < rows; j++) row[j] = 0;
    }
  }
}

/// Floats that `chunk_scan` and its way back need for their scratch memory.
static inline size_t meander_chunk_scratch(size_t chunk, size_t head_width, size_t state_size) {
  size_t wide = head_width > state_size ? head_width : state_size;
  wide = (wide + 15) / 16 * 16;
  return 4 * chunk * 64 + 3 * chunk * wide;
}

#pragma clang assume_nonnull end

#endif
