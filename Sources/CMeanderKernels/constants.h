#ifndef MEANDER_CONSTANTS_H
#define MEANDER_CONSTANTS_H

// The polynomials that every table evaluates, by the same sequence of operations.

// exp in fp32: x = k·ln 2 + r, |r| ≤ ln 2 / 2; exp(r) = 1 + (r + r²·q(r)); q fitted: the relative error is 3e-9.
#define EXP_LOG2E 0x1.715476p+0f
#define EXP_LN2_HIGH 0x1.62e430p-1f
#define EXP_LN2_LOW -0x1.05c610p-29f
#define EXP_Q0 0x1.fffffcp-2f
#define EXP_Q1 0x1.555492p-3f
#define EXP_Q2 0x1.5558f2p-5f
#define EXP_Q3 0x1.1239e0p-7f
#define EXP_Q4 0x1.6a243ap-10f
// Beyond these exp overflows to infinity or rounds to zero of its own accord.
#define EXP_HIGH 89.0f
#define EXP_LOW -104.0f
// From here on its power of two is a normal number.
#define EXP_NORMAL_LOW -86.0f
// silu stays inside this, so that its power of two is a normal number.
#define SILU_BOUND 87.0f
// Adding 1.5·2²³ leaves the nearest integer in the low bits.
#define EXP_MAGIC 0x1.8p+23f

// log(1 + u), 0 ≤ u ≤ 1: 2·atanh(s), s = u / (2 + u) ≤ 1/3; atanh(s) = s + s·q·p(q), q = s²; p fitted (3e-12).
#define LOG1P_P0 0x1.555556p-2f
#define LOG1P_P1 0x1.9999bep-3f
#define LOG1P_P2 0x1.248a56p-3f
#define LOG1P_P3 0x1.c8bc16p-4f
#define LOG1P_P4 0x1.5f3020p-4f
#define LOG1P_P5 0x1.be4ee6p-4f

// The tail of erf (Abramowitz and Stegun 7.1.26), 1/√2, √(2/π), 0.044715·√(2/π) and 1/√(2π): what GELU is made of.
#define ERF_T 0.3275911f
#define ERF_A1 0.254829592f
#define ERF_A2 -0.284496736f
#define ERF_A3 1.421413741f
#define ERF_A4 -1.453152027f
#define ERF_A5 1.061405429f
#define GELU_HALF_ROOT 0.70710678f
#define GELU_LINEAR 0.79788456f
#define GELU_CUBE 0.035677408f
#define NORMAL_PEAK 0.39894228f

// Taylor's series of sin(x) / x and cos(x) in x², the highest power first.
#define CIRCLE_SINES                                                                                              \
  -1.0 / 1307674368000.0, 1.0 / 6227020800.0, -1.0 / 39916800.0, 1.0 / 362880.0, -1.0 / 5040.0, 1.0 / 120.0, -1.0 / 6.0, 1.0
#define CIRCLE_COSINES                                                                                          \
  1.0 / 20922789888000.0, -1.0 / 87178291200.0, 1.0 / 479001600.0, -1.0 / 3628800.0, 1.0 / 40320.0, -1.0 / 720.0, \
      1.0 / 24.0, -0.5, 1.0

// exp in fp64: the same reduction with ln 2 in two parts, and the Taylor series to r¹³ (remainder below 5e-18).
#define EXPD_LOG2E 1.4426950408889634
#define EXPD_LN2_HIGH 0x1.62e42fefa39efp-1
#define EXPD_LN2_LOW 0x1.abc9e3b39803fp-56
#define EXPD_HIGH 710.0
#define EXPD_LOW -746.0
#define EXPD_MAGIC 0x1.8p+52
#define EXPD_TERMS                                                                                                \
  1.0 / 479001600.0, 1.0 / 39916800.0, 1.0 / 3628800.0, 1.0 / 362880.0, 1.0 / 40320.0, 1.0 / 5040.0, 1.0 / 720.0, \
      1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0
#define EXPD_FIRST (1.0 / 6227020800.0)

// A head's pending log-decay is folded into its state below this. The state is then at most e^16 = 9e6 times its true
// value, far from overflow, and a fold, which costs a multiplication for every element, is rare.
#define FOLD_BELOW -16.0
// A fold factor below the smallest normal number is zero: what it would keep is far below the state's rounding.
#define SMALLEST_NORMAL 0x1p-126f

#endif
