#ifndef MEANDER_SCALAR_MATH_H
#define MEANDER_SCALAR_MATH_H

// The functions of lanes/vector.h for one number at a time.

#include <math.h>
#include <string.h>

#include "CMeanderKernels.h"
#include "constants.h"

#pragma STDC FP_CONTRACT OFF

static inline uint32_t bits_of(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}

static inline float float_of(uint32_t bits) {
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

static inline float scalar_exp_of_rest_less_one(float x, float k) {
  float r = fmaf(k, -EXP_LN2_HIGH, x);
  r = fmaf(k, -EXP_LN2_LOW, r);
  float q = fmaf(EXP_Q4, r, EXP_Q3);
  q = fmaf(q, r, EXP_Q2);
  q = fmaf(q, r, EXP_Q1);
  q = fmaf(q, r, EXP_Q0);
  return fmaf(r * r, q, r);
}

static inline float scalar_exp_of_rest(float x, float k) { return scalar_exp_of_rest_less_one(x, k) + 1.0f; }

static inline float scalar_power_of_two(float magic_sum) { return float_of((bits_of(magic_sum) + 127) << 23); }

static inline float scalar_exp(float x) {
  x = x > EXP_HIGH ? EXP_HIGH : x;
  x = x < EXP_LOW ? EXP_LOW : x;
  float k = fmaf(x, EXP_LOG2E, EXP_MAGIC) - EXP_MAGIC;
  float half = fmaf(k, 0.5f, EXP_MAGIC);
  float rest = (k - (half - EXP_MAGIC)) + EXP_MAGIC;
  return scalar_exp_of_rest(x, k) * scalar_power_of_two(half) * scalar_power_of_two(rest);
}

static inline float scalar_exp_less_one(float x) {
  x = x > EXP_HIGH ? EXP_HIGH : x;
  x = x < EXP_LOW ? EXP_LOW : x;
  float k = fmaf(x, EXP_LOG2E, EXP_MAGIC) - EXP_MAGIC;
  float half = fmaf(k, 0.5f, EXP_MAGIC);
  float rest = (k - (half - EXP_MAGIC)) + EXP_MAGIC;
  float power = scalar_power_of_two(half) * scalar_power_of_two(rest);
  return fmaf(power, scalar_exp_of_rest_less_one(x, k), power - 1.0f);
}

static inline float scalar_log1p(float u) {
  float s = u / (u + 2.0f);
  float q = s * s;
  float p = fmaf(LOG1P_P5, q, LOG1P_P4);
  p = fmaf(p, q, LOG1P_P3);
  p = fmaf(p, q, LOG1P_P2);
  p = fmaf(p, q, LOG1P_P1);
  p = fmaf(p, q, LOG1P_P0);
  float twice = s + s;
  return fmaf(twice * q, p, twice);
}

static inline float scalar_softplus(float x) { return (x > 0 ? x : 0) + scalar_log1p(scalar_exp(-fabsf(x))); }

static inline float scalar_one_and_exp_of_minus(float x) {
  float negative = -x > SILU_BOUND ? SILU_BOUND : -x;
  negative = negative < -SILU_BOUND ? -SILU_BOUND : negative;
  float shifted = fmaf(negative, EXP_LOG2E, EXP_MAGIC);
  return fmaf(scalar_exp_of_rest(negative, shifted - EXP_MAGIC), scalar_power_of_two(shifted), 1.0f);
}

static inline float scalar_silu(float x) { return x / scalar_one_and_exp_of_minus(x); }
static inline float scalar_sigmoid(float x) { return 1.0f / scalar_one_and_exp_of_minus(x); }
static inline float scalar_tanh(float x) { return fmaf(2, scalar_sigmoid(x + x), -1); }

static inline float scalar_normal_cdf(float x) {
  float distance = fabsf(x) * GELU_HALF_ROOT;
  float t = 1.0f / fmaf(distance, ERF_T, 1.0f);
  float p = fmaf(ERF_A5, t, ERF_A4);
  p = fmaf(p, t, ERF_A3);
  p = fmaf(p, t, ERF_A2);
  p = fmaf(p, t, ERF_A1);
  float tail = 0.5f * (p * t) * scalar_exp(-(distance * distance));
  return x > 0 ? 1.0f - tail : tail;
}

static inline float scalar_gelu_tanh(float x) {
  float inner = x * fmaf(GELU_CUBE, x * x, GELU_LINEAR);
  return x * scalar_sigmoid(inner + inner);
}

static inline float scalar_activation(meander_activation_kind kind, float x) {
  float positive = x < 0 ? 0 : x;
  switch (kind) {
    case MEANDER_SILU: return scalar_silu(x);
    case MEANDER_SIGMOID: return scalar_sigmoid(x);
    case MEANDER_TANH: return scalar_tanh(x);
    case MEANDER_GELU: return x * scalar_normal_cdf(x);
    case MEANDER_GELU_TANH: return scalar_gelu_tanh(x);
    case MEANDER_RELU: return positive;
    case MEANDER_ELU_PLUS_ONE: return x > 0 ? x + 1.0f : scalar_exp(x);
    default: return positive * positive;
  }
}

static inline float scalar_bf16(float x) {
  uint32_t bits = bits_of(x);
  if (x != x) return float_of((bits | 0x400000) & 0xffff0000);
  return float_of((bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000);
}

// 16 partial sums, halves joined until one is left.
static inline float sum_of_parts(float part[MEANDER_BLOCK]) {
  for (size_t width = MEANDER_BLOCK / 2; width > 0; width /= 2)
    for (size_t i = 0; i < width; i++) part[i] += part[i + width];
  return part[0];
}

#endif
