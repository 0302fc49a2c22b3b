#include "CMeanderKernels.h"
#include "constants.h"
#include "tables.h"

#if defined(__x86_64__)
#include <immintrin.h>
#pragma clang attribute push( \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,fma"))), apply_to = function)
#define LANES 16
#define TABLE avx512vnni
#define TABLE_NAME "avx512vnni"
#define TABLE_FOR_TESTS false
#define TABLE_SUPPORTED                                                    \
  __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && \
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") && \
      __builtin_cpu_supports("avx512vnni")
// The integer product of AVX-512 VNNI: four unsigned bytes of weights by four signed ones of activations, added to a word.
#define DOT_NIBBLES(sum, codes, x)                                                                          \
  __builtin_bit_cast(ints, _mm512_dpbusd_epi32(                                                             \
      __builtin_bit_cast(__m512i, sum), __builtin_bit_cast(__m512i, codes), _mm512_set1_epi32(x)))
#define DOT_BYTES DOT_NIBBLES
#define BYTE_OFFSET 128
#include "lanes/table.h"
#pragma clang attribute pop
#endif
