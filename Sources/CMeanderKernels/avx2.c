#include "CMeanderKernels.h"
#include "constants.h"
#include "tables.h"

#if defined(__x86_64__)
#include <immintrin.h>
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#define LANES 8
#define TABLE avx2
#define TABLE_NAME "avx2"
#define TABLE_FOR_TESTS false
#define TABLE_SUPPORTED __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c")
// Pairs of products are added in 16 bits: they hold those of codes below 16 by bytes, and of a magnitude up to 128 by one up
// to 127; so the sign of a weight of eight bits goes over to the activation.
static inline __attribute__((always_inline)) __m256i nibbles_by_bytes(__m256i sum, __m256i codes, __m256i x) {
  return _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(codes, x), _mm256_set1_epi16(1)));
}
static inline __attribute__((always_inline)) __m256i bytes_by_bytes(__m256i sum, __m256i codes, __m256i x) {
  const __m256i weights = _mm256_xor_si256(codes, _mm256_set1_epi8(-128));
  return nibbles_by_bytes(sum, _mm256_abs_epi8(weights), _mm256_sign_epi8(x, weights));
}
#define DOT_WITH(product, sum, codes, x) \
  __builtin_bit_cast(                    \
      ints, product(__builtin_bit_cast(__m256i, sum), __builtin_bit_cast(__m256i, codes), _mm256_set1_epi32(x)))
#define DOT_NIBBLES(sum, codes, x) DOT_WITH(nibbles_by_bytes, sum, codes, x)
#define DOT_BYTES(sum, codes, x) DOT_WITH(bytes_by_bytes, sum, codes, x)
#define BYTE_OFFSET 0
#include "lanes/table.h"
#pragma clang attribute pop
#endif
