#include "CMeanderKernels.h"
#include "constants.h"
#include "tables.h"

#if defined(__x86_64__)
#include <immintrin.h>
#pragma clang attribute push( \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,fma"))), apply_to = function)
#define LANES 16
#define TABLE avx512
#define TABLE_NAME "avx512"
#define TABLE_FOR_TESTS false
#define TABLE_SUPPORTED                                                    \
  __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && \
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")
// Pairs of products are added in 16 bits, which hold those of codes below 16 by bytes; bytes by bytes are widened first.
static inline __attribute__((always_inline)) __m512i nibbles_by_bytes(__m512i sum, __m512i codes, int32_t x) {
  const __m512i pairs = _mm512_maddubs_epi16(codes, _mm512_set1_epi32(x));
  return _mm512_add_epi32(sum, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)));
}
static inline __attribute__((always_inline)) __m512i bytes_by_bytes(__m512i sum, __m512i codes, int32_t x) {
  const __m512i a = _mm512_set1_epi32(x), b = _mm512_xor_si512(codes, _mm512_set1_epi8(-128));
  const __m512i even = _mm512_madd_epi16(
      _mm512_srai_epi16(_mm512_slli_epi16(b, 8), 8), _mm512_srai_epi16(_mm512_slli_epi16(a, 8), 8));
  const __m512i odd = _mm512_madd_epi16(_mm512_srai_epi16(b, 8), _mm512_srai_epi16(a, 8));
  return _mm512_add_epi32(sum, _mm512_add_epi32(even, odd));
}
#define DOT_WITH(product, sum, codes, x) \
  __builtin_bit_cast(ints, product(__builtin_bit_cast(__m512i, sum), __builtin_bit_cast(__m512i, codes), x))
#define DOT_NIBBLES(sum, codes, x) DOT_WITH(nibbles_by_bytes, sum, codes, x)
#define DOT_BYTES(sum, codes, x) DOT_WITH(bytes_by_bytes, sum, codes, x)
#define BYTE_OFFSET 0
#include "lanes/table.h"
#pragma clang attribute pop
#endif
