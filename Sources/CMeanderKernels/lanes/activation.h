// What stands between two projections of a feed-forward, and in gates.

// x·½·(1 + tanh(√(2/π)·(x + 0.044715·x³))), where ½·(1 + tanh u) is sigmoid(2u).
INLINE vec gelu_tanh_(vec x) {
  vec inner = x * fma_(splat(GELU_CUBE), x * x, splat(GELU_LINEAR));
  return x * sigmoid_(inner + inner);
}

INLINE vec activation_(meander_activation_kind kind, vec x) {
  vec positive = x < 0.0f ? splat(0) : x;
  switch (kind) {
    case MEANDER_SILU: return silu_(x);
    case MEANDER_SIGMOID: return sigmoid_(x);
    case MEANDER_TANH: return tanh_(x);
    case MEANDER_GELU: return x * normal_cdf_(x);
    case MEANDER_GELU_TANH: return gelu_tanh_(x);
    case MEANDER_RELU: return positive;
    case MEANDER_ELU_PLUS_ONE: return x > 0.0f ? x + 1.0f : exp_(x);
    default: return positive * positive;
  }
}

INLINE void NAME(activate_rows)(
    const meander_elementwise *job, size_t first_row, size_t end_row, meander_activation_kind kind) {
  for (size_t row = first_row; row < end_row; row++) {
    const float *from = job->a + row * job->a_stride;
    const float *other = job->b ? job->b + row * job->b_stride : 0;
    float *to = job->y + row * job->y_stride;
    size_t i = 0;
    for (; i + LANES <= job->columns; i += LANES) {
      vec value = activation_(kind, load(from + i));
      store(to + i, other ? value * load(other + i) : value);
    }
    if (i < job->columns) {
      size_t count = job->columns - i;
      vec value = activation_(kind, load_part(from + i, count));
      store_part(to + i, other ? value * load_part(other + i, count) : value, count);
    }
  }
}

#define ACTIVATION_CASE(kind) \
  case kind: NAME(activate_rows)(&job->rows, first_row, end_row, kind); break;

static void NAME(activate)(const meander_activation *job, size_t first_row, size_t end_row) {
  switch (job->kind) {
    ACTIVATION_CASE(MEANDER_SILU)
    ACTIVATION_CASE(MEANDER_SIGMOID)
    ACTIVATION_CASE(MEANDER_TANH)
    ACTIVATION_CASE(MEANDER_GELU)
    ACTIVATION_CASE(MEANDER_GELU_TANH)
    ACTIVATION_CASE(MEANDER_RELU)
    ACTIVATION_CASE(MEANDER_RELU_SQUARED)
    ACTIVATION_CASE(MEANDER_ELU_PLUS_ONE)
  }
}
#undef ACTIVATION_CASE
