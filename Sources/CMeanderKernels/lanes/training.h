// The training half of a vector table.

#include "matrix_product.h"

#include "backward.h"
#include "activation_backward.h"
#include "attention_backward.h"
#include "channel_scan_backward.h"
#include "chunk_scan.h"
#include "chunk_scan_backward.h"
#include "linear_chunk.h"
#include "lstm_backward.h"

static float NAME(dot_alone)(const float *x, const float *y, size_t count) { return NAME(dot)(x, y, count); }

const meander_training_table NAME(training_table) = {
    .product = NAME(matrix_product),
    .norm_backward = NAME(norm_backward),
    .layer_norm_backward = NAME(layer_norm_backward),
    .activation_backward = NAME(activation_backward),
    .convolution_backward = NAME(convolution_backward),
    .steps = NAME(steps),
    .steps_backward = NAME(steps_backward),
    .chunk_scan = NAME(chunk_scan),
    .chunk_scan_backward = NAME(chunk_scan_backward),
    .attention_rows = NAME(attention_rows),
    .attention_rows_backward = NAME(attention_rows_backward),
    .channel_scan_backward = NAME(channel_scan_backward),
    .lstm_cell_backward = NAME(lstm_cell_backward),
    .linear_chunk = NAME(linear_chunk),
    .unit_solve = NAME(unit_solve),
    .cross_entropy = NAME(cross_entropy),
    .adam = NAME(adam),
    .add_scaled = NAME(add_scaled),
    .sum_rows = NAME(sum_rows),
    .dot = NAME(dot_alone),
};
