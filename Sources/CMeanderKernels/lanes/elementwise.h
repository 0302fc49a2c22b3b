// Elementwise operations and the reductions over a row.

// `a[i]` and `b[i]` are vectors of one place; the last one of a row may be part of a vector.
#define ELEMENTWISE(function, expression)                                                              \
  static void NAME(function)(const meander_elementwise *job, size_t first_row, size_t end_row) {        \
    for (size_t row = first_row; row < end_row; row++) {                                                \
      const float *from = job->a + row * job->a_stride;                                                 \
      const float *other = job->b ? job->b + row * job->b_stride : 0;                                   \
      float *to = job->y + row * job->y_stride;                                                         \
      size_t i = 0;                                                                                     \
      for (; i + LANES <= job->columns; i += LANES) {                                                   \
        vec a = load(from + i), b = other ? load(other + i) : splat(0);                                 \
        store(to + i, expression);                                                                      \
      }                                                                                                 \
      if (i < job->columns) {                                                                           \
        size_t count = job->columns - i;                                                                \
        vec a = load_part(from + i, count), b = other ? load_part(other + i, count) : splat(0);         \
        store_part(to + i, expression, count);                                                          \
      }                                                                                                 \
    }                                                                                                   \
  }

// To the nearest bf16, ties to even; a NaN stays one.
INLINE vec NAME(nearest_bf16)(vec v) {
  ints rounded = (bits(v) + 0x7fff + (__builtin_bit_cast(ints, __builtin_bit_cast(words, v) >> 16) & 1)) & ~0xffff;
  return v == v ? floats(rounded) : floats((bits(v) | 0x400000) & ~0xffff);
}

#ifdef PAIR_DOT
// Words of two bf16 each, the even column low; an odd last column has a zero beside it.
static void NAME(round_to_pairs)(const meander_elementwise *job, size_t first_row, size_t end_row) {
  typedef uint64_t pairs __attribute__((ext_vector_type(LANES)));
  for (size_t row = first_row; row < end_row; row++)
    for (size_t i = 0; i < job->columns; i += 2 * LANES) {
      float from[2 * LANES] = {0};
      size_t count = job->columns - i < 2 * LANES ? job->columns - i : 2 * LANES;
      __builtin_memcpy(from, job->a + row * job->a_stride + i, count * sizeof *from);
      store(from, NAME(nearest_bf16)(load(from)));
      store(from + LANES, NAME(nearest_bf16)(load(from + LANES)));
      pairs wide;
      __builtin_memcpy(&wide, from, sizeof wide);
      words narrow = __builtin_convertvector((wide >> 16 & 0xffff) | (wide >> 32 & 0xffff0000), words);
      store_part(job->y + row * job->y_stride + i / 2, __builtin_bit_cast(vec, narrow), (count + 1) / 2);
    }
}
#endif

ELEMENTWISE(round_to_bf16, ((void)b, NAME(nearest_bf16)(a)))
ELEMENTWISE(add, a + b)
ELEMENTWISE(multiply, a *b)
ELEMENTWISE(softplus, softplus_(a + b))
ELEMENTWISE(exponential, ((void)b, exp_(a)))
#undef ELEMENTWISE

// u of `count` columns from `at`, kept in y where there is a gate, and its squares added to `squares`.
INLINE vec NAME(norm_part)(const float *x, const float *gate, float *y, size_t count, vec squares) {
  const bool whole = count == LANES;
  vec u = whole ? load(x) : load_part(x, count);
  if (gate) {
    u *= silu_(whole ? load(gate) : load_part(gate, count));
    if (whole) store(y, u); else store_part(y, u, count);
  }
  return fma_(u, u, squares);
}

INLINE void NAME(norm_group)(const meander_norm *job, size_t row, size_t first, size_t width, bool is_gated) {
  const float *x = job->x + row * job->x_stride + first;
  const float *gate = is_gated ? job->gate + row * job->gate_stride + first : 0;
  float *y = job->y + row * job->y_stride + first;
  block squares = {0};
  size_t at = 0;
  for (; at + MEANDER_BLOCK <= width; at += MEANDER_BLOCK)
    UNROLL for (size_t v = 0; v < BLOCK_VECTORS; v++) {
      size_t k = at + v * LANES;
      squares.v[v] = NAME(norm_part)(x + k, is_gated ? gate + k : 0, y + k, LANES, squares.v[v]);
    }
  for (size_t v = 0; at < width; v++, at += LANES) {
    size_t count = width - at < LANES ? width - at : LANES;
    squares.v[v] = NAME(norm_part)(x + at, is_gated ? gate + at : 0, y + at, count, squares.v[v]);
  }
  float scale = 1.0f / __builtin_sqrtf(sum_of(squares) / (float)width + job->epsilon);
  const float *from = gate ? y : x, *weight = job->weight ? job->weight + first : 0;
  size_t i = 0;
  for (; i + LANES <= width; i += LANES) {
    vec value = load(from + i) * scale;
    store(y + i, weight ? value * load(weight + i) : value);
  }
  if (i < width) {
    vec value = load_part(from + i, width - i) * scale;
    store_part(y + i, weight ? value * load_part(weight + i, width - i) : value, width - i);
  }
}

static void NAME(norm)(const meander_norm *job, size_t first_row, size_t end_row) {
  size_t width = job->columns / job->groups;
  for (size_t row = first_row; row < end_row; row++)
    for (size_t group = 0; group < job->groups; group++) {
      if (job->gate) NAME(norm_group)(job, row, group * width, width, true);
      else NAME(norm_group)(job, row, group * width, width, false);
    }
}

INLINE vec NAME(larger)(vec a, vec b) { return a > b ? a : b; }

static void NAME(surprisals)(const meander_surprisal *job, size_t first_row, size_t end_row) {
  for (size_t row = first_row; row < end_row; row++) {
    const float *logits = job->logits + row * job->stride;
    float largest = logits[0];
    for (size_t i = 1; i < job->columns; i++) largest = logits[i] > largest ? logits[i] : largest;
    block sums = {0};
    size_t i = 0;
    for (; i + MEANDER_BLOCK <= job->columns; i += MEANDER_BLOCK)
      UNROLL for (size_t v = 0; v < BLOCK_VECTORS; v++) sums.v[v] += exp_(load(logits + i + v * LANES) - largest);
    float last[MEANDER_BLOCK];
    for (size_t k = 0; k < MEANDER_BLOCK; k++) last[k] = i + k < job->columns ? logits[i + k] : -__builtin_inff();
    UNROLL for (size_t v = 0; v < BLOCK_VECTORS; v++) sums.v[v] += exp_(load(last + v * LANES) - largest);
    double surprisal = meander_log(sum_of(sums)) + ((double)largest - (double)logits[job->targets[row]]);
    job->surprisals[row] = (float)surprisal;
  }
}

static void NAME(statistics)(const float *values, size_t count, double *sum_of_squares, float *largest) {
  vecd squares[BLOCK_VECTORS];
  block most = {0};
  UNROLL for (size_t v = 0; v < BLOCK_VECTORS; v++) squares[v] = 0;
  for (size_t i = 0; i < count; i += MEANDER_BLOCK) {
    float last[MEANDER_BLOCK] = {0};
    const float *from = values + i;
    if (count - i < MEANDER_BLOCK) {
      __builtin_memcpy(last, from, (count - i) * sizeof *from);
      from = last;
    }
    UNROLL for (size_t v = 0; v < BLOCK_VECTORS; v++) {
      vec value = load(from + v * LANES);
      vecd wide = __builtin_convertvector(value, vecd);
      squares[v] = fmad(wide, wide, squares[v]);
      most.v[v] = NAME(larger)(floats(bits(value) & 0x7fffffff), most.v[v]);
    }
  }
  double part[MEANDER_BLOCK];
  float tops[MEANDER_BLOCK];
  __builtin_memcpy(part, squares, sizeof part);
  __builtin_memcpy(tops, &most, sizeof tops);
  for (size_t width = MEANDER_BLOCK / 2; width > 0; width /= 2)
    for (size_t i = 0; i < width; i++) {
      part[i] += part[i + width];
      tops[i] = tops[i] > tops[i + width] ? tops[i] : tops[i + width];
    }
  *sum_of_squares = part[0];
  *largest = tops[0];
}
