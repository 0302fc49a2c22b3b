#ifndef C_MEANDER_KERNELS_H
#define C_MEANDER_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "CMeanderAttention.h"
#include "CMeanderLinear.h"
#include "CMeanderBlocks.h"
#include "CMeanderTraining.h"

#pragma clang assume_nonnull begin

// Every operation below is a job (shapes, pointers, strides in elements) and a function in a table that does a part
// of it. Parts are rows, channels, heads or panels: they never share an accumulation, so any split gives the same bits.
// Every accumulation runs in one fixed order with fused multiply-add, or in 16 partial sums joined by a fixed tree;
// so all tables give the same bits too.

/// Outputs in a panel of packed weights, and partial sums of every reduction.
#define MEANDER_BLOCK 16
/// Places of a head's width in a block of the scan.
#define MEANDER_SCAN_BLOCK 32

/// y[t, o] = (adding ? y[t, o] : 0) + (Σ_k x[t, k]·w[o, k] + bias[o]), k ascending.
/// The weight is fp32 [panel][inner][16], or bf16 [panel][inner / 2][16][2] (an odd inner dimension padded by zeros).
/// Where there are `blocks`, it is a packed weight of that layout instead (CMeanderBlocks.h), whose values are taken.
/// Where `x_is_pairs`, x holds words of two bf16 each, the even k low, and `x_stride` counts words.
typedef struct {
  const float *x;
  size_t x_stride;
  bool x_is_pairs;
  const void *weight;
  bool is_bf16;
  const meander_block_layout *_Nullable blocks;
  bool adding;
  const float *_Nullable bias;
  float *y;
  size_t y_stride;
  size_t inner, outputs;
} meander_product;

/// Row by row: y = op(a) or op(a, b); a `b_stride` of zero repeats one row of b.
typedef struct {
  const float *a;
  size_t a_stride;
  const float *_Nullable b;
  size_t b_stride;
  float *y;
  size_t y_stride;
  size_t columns;
} meander_elementwise;

/// What stands between two projections of a feed-forward, and in gates.
typedef enum {
  MEANDER_SILU, MEANDER_SIGMOID, MEANDER_TANH, MEANDER_GELU, MEANDER_GELU_TANH, MEANDER_RELU, MEANDER_RELU_SQUARED,
  MEANDER_ELU_PLUS_ONE
} meander_activation_kind;

/// Row by row: y = activation(a), times b where there is one.
typedef struct {
  meander_elementwise rows;
  meander_activation_kind kind;
} meander_activation;

/// y = (x - mean(x)) / sqrt(variance(x) + epsilon) · weight + bias over each group of columns.
typedef struct {
  const float *x;
  size_t x_stride;
  const float *weight;
  const float *_Nullable bias;
  float *y;
  size_t y_stride;
  size_t columns, groups;
  float epsilon;
} meander_layer_norm;

/// y = u / sqrt(mean(u²) + epsilon) · weight over each group of columns; u = x, or x · silu(gate) where there is one.
typedef struct {
  const float *x;
  size_t x_stride;
  const float *_Nullable gate;
  size_t gate_stride;
  const float *_Nullable weight;
  float *y;
  size_t y_stride;
  size_t columns, groups;
  float epsilon;
} meander_norm;

/// y[t, c] = bias[c] + Σ_k weight[k, c]·input[t - K + 1 + k, c], oldest first; `taps` are the K - 1 inputs before x.
typedef struct {
  const float *x;
  size_t x_stride;
  float *taps;
  size_t taps_stride;
  const float *weight;
  size_t weight_stride;
  const float *_Nullable bias;
  float *y;
  size_t y_stride;
  size_t tokens, width;
  bool silu;
} meander_convolution;

/// The gates of a selective scan: see `gates` in SelectiveScan.swift. Per-head arrays hold a multiple of 16 heads.
typedef struct {
  const float *dt;
  size_t dt_stride;
  const double *rate, *log_retention;
  const float *bias, *scale, *threshold, *insertion, *minimum, *maximum;
  double *pending, *total;
  float *gates;
  size_t gates_stride;
  size_t tokens, heads;
} meander_gates;

/// The selective scan of Mamba-2 over heads: see `selectiveScan` in SelectiveScan.swift.
typedef struct {
  const float *x;
  size_t x_stride;
  const float *b;
  size_t b_stride;
  const float *_Nullable c;
  size_t c_stride;
  const float *gates;
  size_t gates_stride;
  const float *skip;
  bool skip_per_channel;
  float *state;
  // As large as the state: what fp32 could not hold of it; or nothing, and it is lost.
  float *_Nullable rest;
  float *_Nullable y;
  size_t y_stride;
  size_t tokens, outputs, heads, groups, head_width, state_size;
} meander_scan;

/// Products of spectra, numbers of a real and an imaginary part each: y[i] = a[i]·b[i], or a[i]·conj(b[i]); y is neither a nor b.
typedef struct {
  const float *a, *b;
  float *y;
  bool conjugates, adding;
} meander_spectra;

/// Convolutions of rows of spectra: y[b - first] = Σ_{i < b} x[i]·h[b - i] for the b from `first` (at least 1) on, i in its order, h[1]
/// being the first row of h. `columns` floats a row, a multiple of 16.
typedef struct {
  const float *x;
  size_t x_stride;
  const float *h;
  size_t h_stride;
  float *y;
  size_t y_stride;
  size_t first, outputs, columns;
} meander_spectrum_sums;

/// turned[t] = (early[t] + i·late[t])·turns[t], where what is missing is 0; a multiple of 16 of them.
typedef struct {
  const float *_Nullable early, *_Nullable late;
  const float *turns;
  float *turned;
  size_t count;
} meander_turn;

/// The real part of turned[t]·conj(turns[t]), or the imaginary one; a multiple of 16 of them.
typedef struct {
  const float *turned, *turns;
  float *y;
  size_t count;
  bool is_late, adding;
} meander_turn_back;

/// A sum of modes: s[n] = λ[n]·s[n] + x, y = Σ_n Re(r[n]·s[n]) for each channel; see `modalScan` in ModalScan.swift.
typedef struct {
  const float *x;
  size_t x_stride;
  const float *poles, *residues;
  float *state;
  size_t stride;
  float *y;
  size_t y_stride;
  size_t tokens, modes;
} meander_modal_scan;

/// One token of an LSTM: `gates` holds the sums of i, f, g and o, `channels` each, and on return their activations;
/// cell = f·before + i·g, hidden = o·tanh(cell). `before` and `cell` may be one place.
typedef struct {
  float *gates;
  const float *before;
  float *cell, *hidden;
  size_t channels;
} meander_lstm_cell;

/// surprisal[t] = log Σ_v exp(logits[t, v]) - logits[t, target[t]], in nats.
typedef struct {
  const float *logits;
  size_t stride;
  size_t columns;
  const int32_t *targets;
  float *surprisals;
} meander_surprisal;

/// One instruction table: how this CPU does each operation. A range is [first, end).
typedef struct {
  const char *name;
  /// For tests alone: another table's source at a width that this CPU has no registers for.
  bool for_tests;
  bool (*is_supported)(void);
  void (*product)(const meander_product *job, size_t first_row, size_t end_row, size_t first_panel, size_t end_panel);
  void (*round_activations)(const meander_activation_rounding *job, size_t first_row, size_t end_row);
  void (*block_product)(
      const meander_block_product *job, size_t first_row, size_t end_row, size_t first_panel, size_t end_panel);
  /// Where the table multiplies pairs of bf16 at once: rounds each row of `a` to words of two, for the product.
  void (*_Nullable round_to_pairs)(const meander_elementwise *job, size_t first_row, size_t end_row);
  void (*round_to_bf16)(const meander_elementwise *job, size_t first_row, size_t end_row);
  void (*add)(const meander_elementwise *job, size_t first_row, size_t end_row);
  void (*multiply)(const meander_elementwise *job, size_t first_row, size_t end_row);
  void (*activate)(const meander_activation *job, size_t first_row, size_t end_row);
  void (*softplus)(const meander_elementwise *job, size_t first_row, size_t end_row);
  void (*exponential)(const meander_elementwise *job, size_t first_row, size_t end_row);
  void (*norm)(const meander_norm *job, size_t first_row, size_t end_row);
  void (*layer_norm)(const meander_layer_norm *job, size_t first_row, size_t end_row);
  void (*convolution)(const meander_convolution *job, size_t first_channel, size_t end_channel);
  void (*gates)(const meander_gates *job, size_t first_head, size_t end_head);
  void (*scan)(const meander_scan *job, size_t first_block, size_t end_block);
  void (*channel_scan)(const meander_channel_scan *job, size_t first_channel, size_t end_channel);
  /// Units and scratch memory: see lanes/attention.h.
  void (*attention)(const meander_attention *job, size_t first_unit, size_t end_unit, float *scratch);
  void (*angles)(const meander_angles *job);
  void (*rotate)(const meander_rotation *job, size_t first_row, size_t end_row);
  void (*spectra)(const meander_spectra *job, size_t first, size_t end);
  void (*spectrum_sums)(const meander_spectrum_sums *job);
  void (*turn)(const meander_turn *job);
  void (*turn_back)(const meander_turn_back *job);
  void (*modal_scan)(const meander_modal_scan *job, size_t first_channel, size_t end_channel);
  void (*lstm_cell)(const meander_lstm_cell *job, size_t first_channel, size_t end_channel);
  void (*heads_dot)(const meander_heads *job, size_t first_row, size_t end_row);
  void (*heads_scale)(const meander_heads *job, size_t first_row, size_t end_row);
  void (*linear_gates)(const meander_linear_gates *job, size_t first_head, size_t end_head);
  void (*linear_scan)(const meander_linear_scan *job, size_t first_block, size_t end_block);
  void (*surprisals)(const meander_surprisal *job, size_t first_row, size_t end_row);
  /// Σ v² in fp64 (16 partial sums) and max |v| of `count` numbers.
  void (*statistics)(const float *values, size_t count, double *sum_of_squares, float *largest);
  const meander_training_table *training;
} meander_table;

/// All tables that were compiled in, the most capable first, `NULL` after the last.
const meander_table *_Nullable meander_table_at(size_t index);

/// Writes row `output` of a packed weight; a panel must start out as zeros.
void meander_pack_row(void *weight, bool is_bf16, size_t inner, size_t output, const float *row);
/// Reads row `output` of a packed weight back.
void meander_unpack_row(const void *weight, bool is_bf16, size_t inner, size_t output, float *row);

/// y[column][row] = x[row][column], or added to it; strides in floats.
void meander_transpose(
    const float *x, size_t x_stride, size_t rows, size_t columns, float *y, size_t y_stride, bool adding);

/// exp(x) in double precision from one fixed sequence of fused multiply-adds: the same bits on every CPU.
double meander_exp(double x);
/// ln(x) of a positive finite x in double precision, likewise.
double meander_log(double x);

/// Tells the CPU that this thread spins.
static inline void meander_pause(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

#pragma clang assume_nonnull end

#endif
