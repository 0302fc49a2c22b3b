#ifndef MEANDER_TABLES_H
#define MEANDER_TABLES_H

#include "CMeanderKernels.h"
#include "packed_blocks.h"

extern const meander_table meander_table_scalar;
extern const meander_training_table training_table_portable;
void meander_portable_attention(const meander_attention *job, size_t first_unit, size_t end_unit, float *scratch);
void meander_portable_angles(const meander_angles *job);
void meander_portable_rotate(const meander_rotation *job, size_t first_row, size_t end_row);
void meander_scalar_convolution(const meander_convolution *job, size_t first_channel, size_t end_channel);
void meander_scalar_gates(const meander_gates *job, size_t first_head, size_t end_head);
void meander_scalar_scan(const meander_scan *job, size_t first_block, size_t end_block);
void meander_scalar_channel_scan(const meander_channel_scan *job, size_t first_channel, size_t end_channel);
void meander_scalar_round_activations(const meander_activation_rounding *job, size_t first_row, size_t end_row);
void meander_scalar_block_product(
    const meander_block_product *job, size_t first_row, size_t end_row, size_t first_panel, size_t end_panel);
void meander_scalar_spectra(const meander_spectra *job, size_t first, size_t end);
void meander_scalar_spectrum_sums(const meander_spectrum_sums *job);
void meander_scalar_turn(const meander_turn *job);
void meander_scalar_turn_back(const meander_turn_back *job);
void meander_scalar_modal_scan(const meander_modal_scan *job, size_t first_channel, size_t end_channel);
void meander_scalar_lstm_cell(const meander_lstm_cell *job, size_t first_channel, size_t end_channel);
void meander_scalar_heads_dot(const meander_heads *job, size_t first_row, size_t end_row);
void meander_scalar_heads_scale(const meander_heads *job, size_t first_row, size_t end_row);
void meander_scalar_linear_gates(const meander_linear_gates *job, size_t first_head, size_t end_head);
void meander_scalar_linear_scan(const meander_linear_scan *job, size_t first_block, size_t end_block);

#if defined(__x86_64__)
extern const meander_table meander_table_avx2, meander_table_avx512, meander_table_avx512vnni, meander_table_avx512bf16;
// The sources of the AVX-512 and NEON tables at their widths, in AVX2 instructions.
extern const meander_table meander_table_avx2_wide16, meander_table_avx2_narrow4;
#elif defined(__aarch64__)
extern const meander_table meander_table_neon, meander_table_neon_dot;
#endif

#endif
