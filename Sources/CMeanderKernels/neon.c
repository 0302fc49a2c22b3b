#include "CMeanderKernels.h"
#include "constants.h"
#include "tables.h"

#if defined(__aarch64__)
#include <arm_neon.h>

#define LANES 4
#define TABLE neon
#define TABLE_NAME "neon"
#define TABLE_FOR_TESTS false
#define TABLE_SUPPORTED true
// Products in 16 bits, then sums of neighbours: a word for each output.
static inline __attribute__((always_inline)) int32x4_t signed_by_bytes(int32x4_t sum, int8x16_t codes, int32_t x) {
  const int8x16_t activations = vreinterpretq_s8_s32(vdupq_n_s32(x));
  const int16x8_t low = vmull_s8(vget_low_s8(codes), vget_low_s8(activations));
  const int16x8_t high = vmull_high_s8(codes, activations);
  return vaddq_s32(sum, vpaddq_s32(vpaddlq_s16(low), vpaddlq_s16(high)));
}
#define DOT_WITH(sum, codes, x) \
  __builtin_bit_cast(ints, signed_by_bytes(__builtin_bit_cast(int32x4_t, sum), __builtin_bit_cast(int8x16_t, codes), x))
#define DOT_NIBBLES(sum, codes, x) DOT_WITH(sum, codes, x)
#define DOT_BYTES(sum, codes, x) DOT_WITH(sum, codes ^ (int32_t)0x80808080, x)
#define BYTE_OFFSET 0
#include "lanes/table.h"

#endif
