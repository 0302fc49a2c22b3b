// Vectors of LANES floats, and the functions that are our own. Included once by each vector table, which defines LANES
// (4, 8 or 16) and TABLE and has set the functions' target; no guard, on purpose.

#pragma STDC FP_CONTRACT OFF
// Every function that takes or returns a vector is inlined, so no calling convention is at stake.
#pragma clang diagnostic ignored "-Wpsabi"

#define JOIN_(a, b) a##_##b
#define JOIN(a, b) JOIN_(a, b)
#define NAME(function) JOIN(function, TABLE)
#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("clang loop unroll(full)")

// Vectors in a block of 16.
#define BLOCK_VECTORS (MEANDER_BLOCK / LANES)

typedef float vec __attribute__((ext_vector_type(LANES)));
typedef int32_t ints __attribute__((ext_vector_type(LANES)));
typedef uint32_t words __attribute__((ext_vector_type(LANES)));
typedef double vecd __attribute__((ext_vector_type(LANES)));
typedef int64_t longs __attribute__((ext_vector_type(LANES)));
typedef struct {
  vec v[BLOCK_VECTORS];
} block;

INLINE vec load(const float *from) {
  vec v;
  __builtin_memcpy(&v, from, sizeof v);
  return v;
}
INLINE void store(float *to, vec v) { __builtin_memcpy(to, &v, sizeof v); }
INLINE vecd load_double(const double *from) {
  vecd v;
  __builtin_memcpy(&v, from, sizeof v);
  return v;
}
INLINE void store_double(double *to, vecd v) { __builtin_memcpy(to, &v, sizeof v); }
INLINE vec load_part(const float *from, size_t count) {
  vec v = 0;
  __builtin_memcpy(&v, from, count * sizeof *from);
  return v;
}
INLINE void store_part(float *to, vec v, size_t count) { __builtin_memcpy(to, &v, count * sizeof *to); }
INLINE vec fma_(vec a, vec b, vec c) { return __builtin_elementwise_fma(a, b, c); }
INLINE vecd fmad(vecd a, vecd b, vecd c) { return __builtin_elementwise_fma(a, b, c); }
INLINE vec splat(float x) { return (vec)x; }
INLINE ints bits(vec v) { return __builtin_bit_cast(ints, v); }
INLINE vec floats(ints v) { return __builtin_bit_cast(vec, v); }

// 2^k of a sum k + 1.5·2²³, whose low bits hold the integer k.
INLINE vec power_of_two(vec magic_sum) { return floats((bits(magic_sum) + 127) << 23); }

// exp(r) - 1, |r| ≤ ln 2 / 2, after x = k·ln 2 + r.
INLINE vec exp_of_rest_less_one(vec x, vec k) {
  vec r = fma_(k, splat(-EXP_LN2_HIGH), x);
  r = fma_(k, splat(-EXP_LN2_LOW), r);
  vec q = fma_(splat(EXP_Q4), r, splat(EXP_Q3));
  q = fma_(q, r, splat(EXP_Q2));
  q = fma_(q, r, splat(EXP_Q1));
  q = fma_(q, r, splat(EXP_Q0));
  return fma_(r * r, q, r);
}

INLINE vec exp_of_rest(vec x, vec k) { return exp_of_rest_less_one(x, k) + 1.0f; }

// The power of two is applied in two halves, so that results below the smallest normal number round once.
INLINE vec exp_(vec x) {
  x = x > EXP_HIGH ? splat(EXP_HIGH) : x;
  x = x < EXP_LOW ? splat(EXP_LOW) : x;
  vec k = fma_(x, splat(EXP_LOG2E), splat(EXP_MAGIC)) - EXP_MAGIC;
  vec half = fma_(k, splat(0.5f), splat(EXP_MAGIC));
  vec rest = (k - (half - EXP_MAGIC)) + EXP_MAGIC;
  return exp_of_rest(x, k) * power_of_two(half) * power_of_two(rest);
}

// exp of what is not positive, for weights beside one of 1: zero where it would come near the smallest normal number.
INLINE vec exp_of_negative(vec x) {
  vec shifted = fma_(x, splat(EXP_LOG2E), splat(EXP_MAGIC));
  vec value = exp_of_rest(x, shifted - EXP_MAGIC) * power_of_two(shifted);
  return x < EXP_NORMAL_LOW ? splat(0) : value;
}

// exp(x) - 1, as good for small x as for large: 2^k·(exp(r) - 1) + (2^k - 1), the first of which is all where k is 0.
INLINE vec exp_less_one(vec x) {
  x = x > EXP_HIGH ? splat(EXP_HIGH) : x;
  x = x < EXP_LOW ? splat(EXP_LOW) : x;
  vec k = fma_(x, splat(EXP_LOG2E), splat(EXP_MAGIC)) - EXP_MAGIC;
  vec half = fma_(k, splat(0.5f), splat(EXP_MAGIC));
  vec rest = (k - (half - EXP_MAGIC)) + EXP_MAGIC;
  vec power = power_of_two(half) * power_of_two(rest);
  return fma_(power, exp_of_rest_less_one(x, k), power - 1.0f);
}

// log(1 + u), 0 ≤ u ≤ 1.
INLINE vec log1p_(vec u) {
  vec s = u / (u + 2.0f);
  vec q = s * s;
  vec p = fma_(splat(LOG1P_P5), q, splat(LOG1P_P4));
  p = fma_(p, q, splat(LOG1P_P3));
  p = fma_(p, q, splat(LOG1P_P2));
  p = fma_(p, q, splat(LOG1P_P1));
  p = fma_(p, q, splat(LOG1P_P0));
  vec twice = s + s;
  return fma_(twice * q, p, twice);
}

INLINE vec softplus_(vec x) {
  vec magnitude = floats(bits(x) & 0x7fffffff);
  return (x > 0.0f ? x : splat(0)) + log1p_(exp_(-magnitude));
}

// 1 + exp(-x). Where exp would overflow or vanish, its place is taken by numbers as good: the sum is what counts.
INLINE vec one_and_exp_of_minus(vec x) {
  vec negative = -x > SILU_BOUND ? splat(SILU_BOUND) : -x;
  negative = negative < -SILU_BOUND ? splat(-SILU_BOUND) : negative;
  vec shifted = fma_(negative, splat(EXP_LOG2E), splat(EXP_MAGIC));
  return fma_(exp_of_rest(negative, shifted - EXP_MAGIC), power_of_two(shifted), splat(1));
}

INLINE vec silu_(vec x) { return x / one_and_exp_of_minus(x); }
INLINE vec sigmoid_(vec x) { return 1.0f / one_and_exp_of_minus(x); }
// 2·sigmoid(2x) - 1: within 1.2e-7 everywhere.
INLINE vec tanh_(vec x) { return fma_(splat(2), sigmoid_(x + x), splat(-1)); }

// The normal distribution below x, from the tail of erf (Abramowitz and Stegun 7.1.26): within 1e-7.
INLINE vec normal_cdf_(vec x) {
  vec distance = floats(bits(x) & 0x7fffffff) * GELU_HALF_ROOT;
  vec t = 1.0f / fma_(distance, splat(ERF_T), splat(1));
  vec p = fma_(splat(ERF_A5), t, splat(ERF_A4));
  p = fma_(p, t, splat(ERF_A3));
  p = fma_(p, t, splat(ERF_A2));
  p = fma_(p, t, splat(ERF_A1));
  vec tail = 0.5f * (p * t) * exp_(-(distance * distance));
  return x > 0.0f ? 1.0f - tail : tail;
}

INLINE vecd power_of_two_double(vecd magic_sum) {
  return __builtin_bit_cast(vecd, (__builtin_bit_cast(longs, magic_sum) + 1023) << 52);
}

INLINE vecd exp_double(vecd x) {
  x = x > EXPD_HIGH ? (vecd)EXPD_HIGH : x;
  x = x < EXPD_LOW ? (vecd)EXPD_LOW : x;
  vecd k = fmad(x, (vecd)EXPD_LOG2E, (vecd)EXPD_MAGIC) - EXPD_MAGIC;
  vecd r = fmad(k, (vecd)-EXPD_LN2_HIGH, x);
  r = fmad(k, (vecd)-EXPD_LN2_LOW, r);
  static const double terms[] = {EXPD_TERMS};
  vecd sum = EXPD_FIRST;
  UNROLL for (size_t i = 0; i < sizeof terms / sizeof *terms; i++) sum = fmad(sum, r, (vecd)terms[i]);
  vecd half = fmad(k, (vecd)0.5, (vecd)EXPD_MAGIC);
  vecd rest = (k - (half - EXPD_MAGIC)) + EXPD_MAGIC;
  return sum * power_of_two_double(half) * power_of_two_double(rest);
}

// The fixed tree of every reduction: 16 partial values, halves joined until one is left.
INLINE float sum_of(block b) {
  float part[MEANDER_BLOCK];
  __builtin_memcpy(part, &b, sizeof part);
  UNROLL for (size_t width = MEANDER_BLOCK / 2; width > 0; width /= 2)
    UNROLL for (size_t i = 0; i < width; i++) part[i] += part[i + width];
  return part[0];
}
