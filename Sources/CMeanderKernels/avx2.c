#include "CMeanderKernels.h"
#include "constants.h"
#include "tables.h"

#if defined(__x86_64__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#define LANES 8
#define TABLE avx2
#define TABLE_NAME "avx2"
#define TABLE_FOR_TESTS false
#define TABLE_SUPPORTED __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")
#include "lanes/table.h"
#pragma clang attribute pop
#endif
