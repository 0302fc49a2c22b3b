#include "CMeanderKernels.h"
#include "constants.h"
#include "tables.h"

#if defined(__x86_64__)
#include <immintrin.h>
#pragma clang attribute push( \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,fma"))), apply_to = function)
#define LANES 16
#define TABLE avx512bf16
#define TABLE_NAME "avx512bf16"
#define TABLE_FOR_TESTS false
#define TABLE_SUPPORTED                                                    \
  __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && \
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bf16")
// The instruction's own order and rounding of the two products: bits of bf16 products are promised within this table.
#define PAIR_DOT(sum, x, w)                                                                          \
  __builtin_bit_cast(vec, _mm512_dpbf16_ps(                                                          \
      __builtin_bit_cast(__m512, sum), __builtin_bit_cast(__m512bh, x), __builtin_bit_cast(__m512bh, w)))
#include "lanes/table.h"
#pragma clang attribute pop
#endif
