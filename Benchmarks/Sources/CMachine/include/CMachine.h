#ifndef C_MACHINE_H
#define C_MACHINE_H

#include <stddef.h>

/// Single-precision operations a second (a fused multiply-add is two) that `threads` threads reach in registers,
/// with the widest instruction of this CPU: the best of `rounds` rounds of about 0.1 s.
double machine_peak(int threads, int rounds);

/// Bytes a second that `threads` threads read from `bytes` bytes of memory each: the best of `rounds` passes.
/// 0 where there is no memory for it.
double machine_read(int threads, size_t bytes, int rounds);

#endif
