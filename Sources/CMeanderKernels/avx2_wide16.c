#include "CMeanderKernels.h"
#include "constants.h"
#include "tables.h"

#if defined(__x86_64__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#define LANES 16
#define TABLE avx2_wide16
#define TABLE_NAME "avx2-wide16"
#define TABLE_FOR_TESTS true
#define TABLE_SUPPORTED __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c")
// The two products one after the other, as the tables without such an instruction do: the same bits as theirs.
#define PAIR_DOT(sum, x, w) \
  fma_(floats(bits(x) & (int32_t)0xffff0000), floats(bits(w) & (int32_t)0xffff0000), \
       fma_(floats(bits(x) << 16), floats(bits(w) << 16), sum))
#include "lanes/table.h"
#pragma clang attribute pop
#endif
