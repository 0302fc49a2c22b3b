#include "CMeanderKernels.h"
#include "constants.h"
#include "tables.h"

#if defined(__x86_64__)
#pragma clang attribute push( \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,fma"))), apply_to = function)
#define LANES 16
#define TABLE avx512
#define TABLE_NAME "avx512"
#define TABLE_FOR_TESTS false
#define TABLE_SUPPORTED                                                    \
  __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && \
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")
#include "lanes/table.h"
#pragma clang attribute pop
#endif
