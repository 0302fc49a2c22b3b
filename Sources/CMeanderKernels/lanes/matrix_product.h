// The product of two matrices as they lie, either of them turned: the tile of the packed product, with the panel packed
// on the way. Sums wait in y between two cuts of the inner dimension, which rounds nothing.

#define PRODUCT_ROWS (LANES == 16 ? 12 : 5)
#define PRODUCT_INNER 256
#define PRODUCT_ROW_BLOCK 320

// Four columns of four numbers, `stride` apart, into four rows.
INLINE void NAME(turn)(const float *from, size_t stride, float *to, size_t to_stride) {
  typedef float four __attribute__((ext_vector_type(4)));
  four a, b, c, d;
  __builtin_memcpy(&a, from, sizeof a);
  __builtin_memcpy(&b, from + stride, sizeof b);
  __builtin_memcpy(&c, from + 2 * stride, sizeof c);
  __builtin_memcpy(&d, from + 3 * stride, sizeof d);
  four low = __builtin_shufflevector(a, b, 0, 4, 1, 5), high = __builtin_shufflevector(a, b, 2, 6, 3, 7);
  four low2 = __builtin_shufflevector(c, d, 0, 4, 1, 5), high2 = __builtin_shufflevector(c, d, 2, 6, 3, 7);
  four rows[4] = {
      __builtin_shufflevector(low, low2, 0, 1, 4, 5), __builtin_shufflevector(low, low2, 2, 3, 6, 7),
      __builtin_shufflevector(high, high2, 0, 1, 4, 5), __builtin_shufflevector(high, high2, 2, 3, 6, 7)};
  UNROLL for (size_t k = 0; k < 4; k++) __builtin_memcpy(to + k * to_stride, rows + k, sizeof *rows);
}

// Columns [first, first + count) of b for `inner` steps from `from` as [k][16]; what is missing is zeros.
INLINE void NAME(pack_panel)(
    const meander_matrix_product *job, size_t from, size_t inner, size_t first, size_t count, float *panel) {
  const float *b = job->b + from * job->b_inner + first * job->b_column;
  if (count < MEANDER_BLOCK) __builtin_memset(panel, 0, inner * MEANDER_BLOCK * sizeof *panel);
  if (job->b_column == 1) {
    if (count == MEANDER_BLOCK)
      for (size_t k = 0; k < inner; k++)
        UNROLL for (size_t v = 0; v < BLOCK_VECTORS; v++)
          store(panel + k * MEANDER_BLOCK + v * LANES, load(b + k * job->b_inner + v * LANES));
    else
      for (size_t k = 0; k < inner; k++) __builtin_memcpy(panel + k * MEANDER_BLOCK, b + k * job->b_inner, count * sizeof *b);
    return;
  }
  size_t c = 0;
  for (; c + 4 <= count; c += 4) {
    const float *from = b + c * job->b_column;
    size_t k = 0;
    for (; k + 4 <= inner; k += 4) NAME(turn)(from + k, job->b_column, panel + k * MEANDER_BLOCK + c, MEANDER_BLOCK);
    for (; k < inner; k++)
      for (size_t i = 0; i < 4; i++) panel[k * MEANDER_BLOCK + c + i] = from[i * job->b_column + k];
  }
  for (; c < count; c++)
    for (size_t k = 0; k < inner; k++) panel[k * MEANDER_BLOCK + c] = b[c * job->b_column + k];
}

INLINE void NAME(product_tile)(
    const float *a, size_t a_row, size_t a_inner, const float *panel, size_t inner, float *y, size_t y_stride, size_t rows,
    size_t count, bool adding) {
  vec sum[PRODUCT_ROWS * BLOCK_VECTORS];
  float part[MEANDER_BLOCK];
  UNROLL for (size_t r = 0; r < rows; r++) {
    if (adding && count < MEANDER_BLOCK) __builtin_memcpy(part, y + r * y_stride, count * sizeof *part);
    UNROLL for (size_t v = 0; v < BLOCK_VECTORS; v++)
      sum[r * BLOCK_VECTORS + v] =
          !adding ? splat(0) : load(count < MEANDER_BLOCK ? part + v * LANES : y + r * y_stride + v * LANES);
  }
  for (size_t k = 0; k < inner; k++, panel += MEANDER_BLOCK, a += a_inner) {
    vec w[BLOCK_VECTORS];
    UNROLL for (size_t v = 0; v < BLOCK_VECTORS; v++) w[v] = load(panel + v * LANES);
    UNROLL for (size_t r = 0; r < rows; r++) {
      vec value = splat(a[r * a_row]);
      UNROLL for (size_t v = 0; v < BLOCK_VECTORS; v++)
        sum[r * BLOCK_VECTORS + v] = fma_(value, w[v], sum[r * BLOCK_VECTORS + v]);
    }
  }
  UNROLL for (size_t r = 0; r < rows; r++) {
    if (count == MEANDER_BLOCK) {
      UNROLL for (size_t v = 0; v < BLOCK_VECTORS; v++) store(y + r * y_stride + v * LANES, sum[r * BLOCK_VECTORS + v]);
    } else {
      __builtin_memcpy(part, sum + r * BLOCK_VECTORS, sizeof part);
      __builtin_memcpy(y + r * y_stride, part, count * sizeof *part);
    }
  }
}

#define PRODUCT_CASE(rows) \
  case rows: NAME(product_tile)(a, a_row, a_inner, panel, inner, y, y_stride, rows, count, adding); break;

// Specialised for a as it lies and for a turned, whose strides the caller passes as constants.
INLINE void NAME(product_rows)(
    const float *a, size_t a_row, size_t a_inner, const float *panel, size_t inner, float *y, size_t y_stride, size_t rows,
    size_t count, bool adding) {
  switch (rows) {
    PRODUCT_CASE(1) PRODUCT_CASE(2) PRODUCT_CASE(3) PRODUCT_CASE(4) PRODUCT_CASE(5)
#if LANES == 16
    PRODUCT_CASE(6) PRODUCT_CASE(7) PRODUCT_CASE(8) PRODUCT_CASE(9) PRODUCT_CASE(10) PRODUCT_CASE(11) PRODUCT_CASE(12)
#endif
    default: break;
  }
}
#undef PRODUCT_CASE

static __attribute__((noinline)) void NAME(product_panel)(
    const meander_matrix_product *job, const float *panel, size_t from, size_t inner, size_t first_row, size_t end_row,
    size_t column, bool adding) {
  const size_t count = job->columns - column < MEANDER_BLOCK ? job->columns - column : MEANDER_BLOCK;
  for (size_t row = first_row, rows; row < end_row; row += rows) {
    rows = end_row - row < PRODUCT_ROWS ? end_row - row : PRODUCT_ROWS;
    const float *a = job->a + row * job->a_row + from * job->a_inner;
    float *y = job->y + row * job->y_stride + column;
    if (job->a_inner == 1) NAME(product_rows)(a, job->a_row, 1, panel, inner, y, job->y_stride, rows, count, adding);
    else NAME(product_rows)(a, 1, job->a_inner, panel, inner, y, job->y_stride, rows, count, adding);
  }
}

static void NAME(matrix_product)(const meander_matrix_product *job) {
  float panel[PRODUCT_INNER * MEANDER_BLOCK];
  for (size_t row = 0; row < job->rows; row += PRODUCT_ROW_BLOCK) {
    size_t end = job->rows - row > PRODUCT_ROW_BLOCK ? row + PRODUCT_ROW_BLOCK : job->rows, from = 0;
    do {
      size_t inner = job->inner - from > PRODUCT_INNER ? PRODUCT_INNER : job->inner - from;
      for (size_t column = 0; column < job->columns; column += MEANDER_BLOCK) {
        size_t count = job->columns - column < MEANDER_BLOCK ? job->columns - column : MEANDER_BLOCK;
        NAME(pack_panel)(job, from, inner, column, count, panel);
        NAME(product_panel)(job, panel, from, inner, row, end, column, job->adding || from > 0);
      }
      from += inner;
    } while (from < job->inner);
  }
}
#undef PRODUCT_ROWS
#undef PRODUCT_INNER
#undef PRODUCT_ROW_BLOCK
