#include "CMeanderKernels.h"
#include "constants.h"
#include "tables.h"

#if defined(__x86_64__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#define LANES 4
#define TABLE avx2_narrow4
#define TABLE_NAME "avx2-narrow4"
#define TABLE_FOR_TESTS true
#define TABLE_SUPPORTED __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c")
#include "lanes/table.h"
#pragma clang attribute pop
#endif
