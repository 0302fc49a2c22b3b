#ifndef C_MACHINE_H
#define C_MACHINE_H

#include <stddef.h>

/// Single-precision operations a second (a fused multiply-add is two) that `threads` threads reach in registers,
/// with the widest instruction of this CPU: the best of `rounds` rounds of about 0.1 s.
double machine_peak(int threads, int rounds);

/// Bytes a second that `threads` threads read from `bytes` bytes of memory each: the best of `rounds` passes.
/// 0 where there is no memory for it.
double machine_read(int threads, size_t bytes, int rounds);

/// One output row of a causal convolution from its definition: y[c] = Σ_s filter[s, c]·signal[row - s, c], s < length and s ≤ row.
/// signal: rows × channels, filter: length × channels. Channels are what a compiler makes lanes of.
void machine_direct_convolution(
    const float *signal, const float *filter, size_t length, size_t channels, size_t row, float *y);

#endif
