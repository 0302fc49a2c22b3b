// One whole vector table: LANES and TABLE, TABLE_NAME, TABLE_FOR_TESTS and TABLE_SUPPORTED are defined by the
// includer, and PAIR_DOT(sum, x, w) where the table multiplies words of two bf16 at once; DOT_NIBBLES and DOT_BYTES where it
// has better ways to multiply bytes than packed_blocks.h.

#include "vector.h"

#include "activation.h"
#include "attention.h"
#include "channel_scan.h"
#include "convolution.h"
#include "elementwise.h"
#include "gates.h"
#include "heads.h"
#include "layer_norm.h"
#include "linear_scan.h"
#include "lstm.h"
#include "packed_blocks.h"
#include "product.h"
#include "rotation.h"
#include "block_product.h"
#include "scan.h"
#include "spectra.h"

#include "training.h"

static bool NAME(supported)(void) { return TABLE_SUPPORTED; }

const meander_table NAME(meander_table) = {
    .name = TABLE_NAME,
    .for_tests = TABLE_FOR_TESTS,
    .is_supported = NAME(supported),
    .product = NAME(product),
    .round_activations = NAME(round_activations),
    .block_product = NAME(block_product),
#ifdef PAIR_DOT
    .round_to_pairs = NAME(round_to_pairs),
#endif
    .round_to_bf16 = NAME(round_to_bf16),
    .add = NAME(add),
    .multiply = NAME(multiply),
    .activate = NAME(activate),
    .softplus = NAME(softplus),
    .exponential = NAME(exponential),
    .norm = NAME(norm),
    .layer_norm = NAME(layer_norm),
    .convolution = NAME(convolution),
    .gates = NAME(gates),
    .scan = NAME(scan),
    .channel_scan = NAME(channel_scan),
    .attention = NAME(attention),
    .angles = NAME(angles),
    .rotate = NAME(rotate),
    .spectra = NAME(spectra),
    .spectrum_sums = NAME(spectrum_sums_of),
    .turn = NAME(turn_places),
    .turn_back = NAME(turn_places_back),
    .modal_scan = NAME(modal_scan),
    .lstm_cell = NAME(lstm_cell),
    .heads_dot = NAME(heads_dot),
    .heads_scale = NAME(heads_scale),
    .linear_gates = NAME(linear_gates),
    .linear_scan = NAME(linear_scan),
    .surprisals = NAME(surprisals),
    .statistics = NAME(statistics),
    .training = &NAME(training_table),
};
