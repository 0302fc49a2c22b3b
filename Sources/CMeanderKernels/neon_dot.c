#include "CMeanderKernels.h"
#include "constants.h"
#include "tables.h"

#if defined(__aarch64__)
#include <arm_neon.h>
#if defined(__linux__)
#include <sys/auxv.h>
// Bit 20 of what the kernel says of the CPU: the instructions SDOT and UDOT.
#define HAS_DOT (getauxval(AT_HWCAP) >> 20 & 1)
#else
#define HAS_DOT false
#endif
#pragma clang attribute push(__attribute__((target("dotprod"))), apply_to = function)
#define LANES 4
#define TABLE neon_dot
#define TABLE_NAME "neon-dot"
#define TABLE_FOR_TESTS false
#define TABLE_SUPPORTED HAS_DOT
// One instruction: four signed bytes by four, added to a word.
static inline __attribute__((always_inline)) int32x4_t signed_by_bytes(int32x4_t sum, int8x16_t codes, int32_t x) {
  return vdotq_s32(sum, codes, vreinterpretq_s8_s32(vdupq_n_s32(x)));
}
#define DOT_WITH(sum, codes, x) \
  __builtin_bit_cast(ints, signed_by_bytes(__builtin_bit_cast(int32x4_t, sum), __builtin_bit_cast(int8x16_t, codes), x))
#define DOT_NIBBLES(sum, codes, x) DOT_WITH(sum, codes, x)
#define DOT_BYTES(sum, codes, x) DOT_WITH(sum, codes ^ (int32_t)0x80808080, x)
#define BYTE_OFFSET 0
#include "lanes/table.h"
#pragma clang attribute pop
#endif
