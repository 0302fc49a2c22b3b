#include <math.h>
#include <string.h>

#include "CMeanderKernels.h"
#include "constants.h"

#pragma STDC FP_CONTRACT OFF

// 2^k for -1022 ≤ k ≤ 1023.
static double power_of_two(int64_t k) {
  uint64_t bits = (uint64_t)(k + 1023) << 52;
  double value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

// The power of two is applied in two halves, so that results below the smallest normal number round once.
double meander_exp(double x) {
  x = x > EXPD_HIGH ? EXPD_HIGH : x;
  x = x < EXPD_LOW ? EXPD_LOW : x;
  double shifted = fma(x, EXPD_LOG2E, EXPD_MAGIC);
  double k = shifted - EXPD_MAGIC;
  double r = fma(k, -EXPD_LN2_HIGH, x);
  r = fma(k, -EXPD_LN2_LOW, r);
  static const double terms[] = {EXPD_TERMS};
  double sum = EXPD_FIRST;
  for (size_t i = 0; i < sizeof terms / sizeof *terms; i++) sum = fma(sum, r, terms[i]);
  if (x != x) return x;
  int64_t whole = (int64_t)k;
  int64_t half = whole >> 1;
  return sum * power_of_two(half) * power_of_two(whole - half);
}

// ln(m·2^k) = k·ln 2 + 2·atanh(s), s = (m - 1) / (m + 1), sqrt(1/2) ≤ m < sqrt(2); the series to s²³ (below 1e-19).
double meander_log(double x) {
  int exponent;
  double m = frexp(x, &exponent);
  if (m < 0x1.6a09e667f3bcdp-1) {
    m *= 2;
    exponent -= 1;
  }
  double s = (m - 1) / (m + 1);
  double q = s * s;
  double sum = 1.0 / 23;
  for (int i = 21; i >= 1; i -= 2) sum = fma(sum, q, 1.0 / i);
  return fma(exponent, EXPD_LN2_HIGH, fma(exponent, EXPD_LN2_LOW, 2 * s * sum));
}
