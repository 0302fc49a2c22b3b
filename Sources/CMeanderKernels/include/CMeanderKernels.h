#ifndef C_MEANDER_KERNELS_H
#define C_MEANDER_KERNELS_H

#include <stddef.h>
#include <stdint.h>

/// exp(x) in double precision from one fixed sequence of fused multiply-adds: the same bits on every CPU.
double meander_exp(double x);

#endif
