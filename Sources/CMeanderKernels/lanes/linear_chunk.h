// The linear recurrence in chunks: see LinearChunk.swift, which says what each letter is.

#define CHUNK_ROWS (LANES == 8 ? 4 : 8)

INLINE size_t NAME(linear_columns)(const meander_linear_chunk *job) { return job->replacement ? 2 * job->rows : job->rows; }

// A row's token, without a division where a token is one row.
INLINE size_t NAME(linear_token)(const meander_linear_chunk *job, size_t row) {
  return job->rank == 1 ? row : row / job->rank;
}

// exp(c) and exp(-c) of all sums.
INLINE void NAME(linear_exponents)(const meander_linear_chunk *job) {
  const size_t all = (job->tokens + 1) * job->decays;
  for (size_t i = 0; i < all; i += LANES) {
    const size_t count = all - i < LANES ? all - i : LANES;
    vecd sum = 0;
    __builtin_memcpy(&sum, job->sums + i, count * sizeof(double));
    vecd e = exp_double(sum);
    NAME(put)(job->shrink + i, __builtin_convertvector(e, vec), count);
    NAME(put)(job->grow + i, __builtin_convertvector(1.0 / e, vec), count);
  }
}

// A block of rows, each times the factors of its token; `ahead`: whose factors stand that many tokens further on.
INLINE void NAME(linear_block)(
    const meander_linear_chunk *job, const float *x, size_t x_stride, const float *factors, size_t ahead, float *to) {
  const size_t size = job->state_size, whole = size / LANES * LANES;
  const bool shared = job->decays == 1;
  for (size_t row = 0; row < job->tokens * job->rank; row++, to += job->stride) {
    const size_t token = NAME(linear_token)(job, row), slice = row - token * job->rank;
    const float *from = x + token * x_stride + slice * size, *factor = factors + (token + ahead) * job->decays;
    size_t n = 0;
    if (shared)
      for (const vec one = splat(*factor); n < whole; n += LANES) store(to + n, one * load(from + n));
    else
      for (; n < whole; n += LANES) store(to + n, load(factor + n) * load(from + n));
    for (; n < job->stride; n += LANES) {
      const size_t count = n < size ? size - n : 0;
      store(to + n, (shared ? splat(*factor) : load_part(factor + n, count)) * load_part(from + n, count));
    }
  }
  __builtin_memset(to, 0, (job->rows - job->tokens * job->rank) * job->stride * sizeof *to);
}

INLINE void NAME(linear_stack)(const meander_linear_chunk *job) {
  const size_t block = job->rows * job->stride, filled = job->tokens * job->rank, width = job->head_width;
  NAME(linear_exponents)(job);
  NAME(linear_block)(job, job->q, job->q_stride, job->shrink, job->reads_before ? 0 : 1, job->reads);
  NAME(linear_block)(job, job->k, job->k_stride, job->grow, 1, job->writes);
  if (job->removal) NAME(linear_block)(job, job->removal, job->removal_stride, job->shrink, 1, job->reads + block);
  if (job->replacement)
    NAME(linear_block)(job, job->replacement, job->replacement_stride, job->grow, 1, job->writes + block);
  for (size_t row = 0; job->strengths && row < job->rows; row++)
    job->strengths[row] = row < filled ? job->strength[row * job->strength_stride] : 0;
  for (size_t row = 0; row < job->rows; row++) {
    const size_t token = NAME(linear_token)(job, row), slice = row - token * job->rank;
    const float *from = job->v + token * job->v_stride + slice * width;
    float *to = job->values + row * job->value_stride;
    const size_t count = row < filled ? width : 0;
    __builtin_memcpy(to, from, count * sizeof *to);
    __builtin_memset(to + count, 0, (job->value_stride - count) * sizeof *to);
  }
}

// sum[r] += Σ_k a[r, k]·b[k] over `vectors` vectors of a row.
INLINE void NAME(linear_tile)(
    const float *a, size_t a_row, size_t a_inner, const float *b, size_t b_stride, size_t inner, vec *sum,
    const size_t vectors) {
  for (size_t k = 0; k < inner; k++, a += a_inner, b += b_stride) {
    vec w[2];
    UNROLL for (size_t v = 0; v < vectors; v++) w[v] = load(b + v * LANES);
    UNROLL for (size_t r = 0; r < CHUNK_ROWS; r++) {
      const vec value = splat(a[r * a_row]);
      UNROLL for (size_t v = 0; v < vectors; v++) sum[r * vectors + v] = fma_(value, w[v], sum[r * vectors + v]);
    }
  }
}

INLINE void NAME(linear_score_tile)(
    const meander_linear_chunk *job, const float *a, const float *turned, float *scores, size_t columns, size_t row,
    size_t column, bool strictly, const size_t vectors) {
  vec sum[CHUNK_ROWS * 2];
  ints lane;
  for (int32_t i = 0; i < LANES; i++) lane[i] = i + (int32_t)column;
  UNROLL for (size_t i = 0; i < CHUNK_ROWS * vectors; i++) sum[i] = splat(0);
  NAME(linear_tile)(a, job->stride, 1, turned, columns, job->state_size, sum, vectors);
  UNROLL for (size_t r = 0; r < CHUNK_ROWS; r++) {
    const int32_t end = (int32_t)((NAME(linear_token)(job, row + r) + (strictly ? 0 : 1)) * job->rank);
    UNROLL for (size_t v = 0; v < vectors; v++)
      store(scores + r * columns + v * LANES, lane + (int32_t)(v * LANES) < end ? sum[r * vectors + v] : splat(0));
  }
}

// scores[i, j] = A[i]·K[j] for j written before i reads, else 0.
INLINE void NAME(linear_scores)(const meander_linear_chunk *job) {
  const size_t rows = job->rows, columns = NAME(linear_columns)(job);
  for (size_t j = 0; j < columns; j += 4)
    for (size_t n = 0; n < job->stride; n += 4)
      NAME(turn)(job->writes + j * job->stride + n, job->stride, job->turned + n * columns + j, columns);
  const size_t all = job->removal ? 2 * rows : rows;
  __builtin_memset(job->scores, 0, all * columns * sizeof *job->scores);
  for (size_t from = 0; from < all; from += CHUNK_ROWS) {
    const size_t row = from % rows, end = (NAME(linear_token)(job, row + CHUNK_ROWS - 1) + 1) * job->rank;
    const bool strictly = from >= rows || job->reads_before;
    const float *a = job->reads + from * job->stride;
    for (size_t first = 0; first < columns; first += rows)
      for (size_t column = 0; column < rows && column < end;) {
        const float *turned = job->turned + first + column;
        float *scores = job->scores + from * columns + first + column;
        const bool wide = column + LANES < rows && column + LANES < end;
        if (wide) NAME(linear_score_tile)(job, a, turned, scores, columns, row, column, strictly, 2);
        else NAME(linear_score_tile)(job, a, turned, scores, columns, row, column, strictly, 1);
        column += wide ? 2 * LANES : LANES;
      }
  }
}

// W of CHUNK_ROWS rows from `row` on, of what they find of G and of the rows before; each is found before the next one finds it.
INLINE void NAME(linear_solve)(const meander_linear_chunk *job, size_t row, size_t p, const size_t vectors) {
  const size_t rows = job->rows, columns = NAME(linear_columns)(job), own = columns - rows;
  const float *scores = job->scores + (rows + row) * columns;
  float *values = job->values + (own + row) * job->value_stride + p;
  vec sum[CHUNK_ROWS * 2];
  UNROLL for (size_t i = 0; i < CHUNK_ROWS * vectors; i++) sum[i] = splat(0);
  NAME(linear_tile)(
      job->reads + (rows + row) * job->stride, job->stride, 1, job->panel, vectors * LANES, job->state_size, sum, vectors);
  if (own) NAME(linear_tile)(scores, columns, 1, job->values + p, job->value_stride, row + CHUNK_ROWS, sum, vectors);
  NAME(linear_tile)(
      scores + own, columns, 1, job->values + own * job->value_stride + p, job->value_stride, row, sum, vectors);
  scores += own + row;
  UNROLL for (size_t i = 0; i < CHUNK_ROWS; i++) {
    vec value[2];
    float *to = values + i * job->value_stride;
    UNROLL for (size_t v = 0; v < vectors; v++) {
      value[v] = sum[i * vectors + v];
      if (job->found) store(job->found + (row + i) * job->value_stride + p + v * LANES, value[v]);
      if (job->strengths) value[v] = fma_(splat(job->strengths[row + i]), value[v], load(to + v * LANES));
      store(to + v * LANES, value[v]);
    }
    UNROLL for (size_t r = i + 1; r < CHUNK_ROWS; r++)
      UNROLL for (size_t v = 0; v < vectors; v++)
        sum[r * vectors + v] = fma_(splat(scores[r * columns + i]), value[v], sum[r * vectors + v]);
  }
}

INLINE void NAME(linear_outputs)(const meander_linear_chunk *job, size_t row, size_t p, size_t count, const size_t vectors) {
  const size_t rows = job->rows, columns = NAME(linear_columns)(job), filled = job->tokens * job->rank;
  const size_t last = (NAME(linear_token)(job, row + CHUNK_ROWS - 1) + 1) * job->rank, end = last < rows ? last : rows;
  vec sum[CHUNK_ROWS * 2];
  UNROLL for (size_t i = 0; i < CHUNK_ROWS * vectors; i++) sum[i] = splat(0);
  NAME(linear_tile)(
      job->reads + row * job->stride, job->stride, 1, job->panel, vectors * LANES, job->state_size, sum, vectors);
  for (size_t first = 0; first < columns; first += rows)
    NAME(linear_tile)(
        job->scores + row * columns + first, columns, 1, job->values + first * job->value_stride + p, job->value_stride, end,
        sum, vectors);
  UNROLL for (size_t r = 0; r < CHUNK_ROWS; r++) {
    if (row + r >= filled) continue;
    const size_t token = NAME(linear_token)(job, row + r), slice = row + r - token * job->rank;
    float *y = job->y + token * job->y_stride + slice * job->head_width + p;
    UNROLL for (size_t v = 0; v < vectors; v++)
      NAME(put)(y + v * LANES, sum[r * vectors + v], count - v * LANES < LANES ? count - v * LANES : LANES);
  }
}

INLINE void NAME(linear_move)(const meander_linear_chunk *job, size_t n, size_t p, size_t count, const size_t vectors) {
  vec sum[CHUNK_ROWS * 2];
  UNROLL for (size_t i = 0; i < CHUNK_ROWS * vectors; i++) sum[i] = load(job->panel + n * vectors * LANES + i * LANES);
  NAME(linear_tile)(
      job->writes + n, 1, job->stride, job->values + p, job->value_stride, NAME(linear_columns)(job), sum, vectors);
  UNROLL for (size_t r = 0; r < CHUNK_ROWS; r++) {
    if (n + r >= job->state_size) continue;
    float *state = job->state + (n + r) * job->head_width + p;
    UNROLL for (size_t v = 0; v < vectors; v++)
      NAME(put)(state + v * LANES, sum[r * vectors + v], count - v * LANES < LANES ? count - v * LANES : LANES);
  }
}

// Asks for what the next chunk reads of a token, while this one is computed: its rows lie far apart.
INLINE void NAME(linear_fetch)(const meander_linear_chunk *job, size_t token) {
  const float *const from[] = {job->q, job->k, job->removal, job->replacement, job->v};
  const size_t strides[] = {job->q_stride, job->k_stride, job->removal_stride, job->replacement_stride, job->v_stride};
  for (size_t array = 0; array < 5; array++) {
    if (!from[array] || (array == 2 && from[2] == from[1])) continue;
    const float *row = from[array] + (job->tokens + token) * strides[array];
    const size_t count = job->rank * (array == 4 ? job->head_width : job->state_size);
    for (size_t i = 0; i < count; i += MEANDER_BLOCK) __builtin_prefetch(row + i);
  }
  const float *y = job->y + (job->tokens + token) * job->y_stride;
  for (size_t i = 0; i < job->rank * job->head_width; i += MEANDER_BLOCK) __builtin_prefetch(y + i, 1);
}

// Columns [p, p + count) of everything that has P of them.
INLINE void NAME(linear_panel)(const meander_linear_chunk *job, size_t p, size_t count, const size_t vectors) {
  const size_t size = job->state_size;
  for (size_t n = 0; n < size; n++)
    UNROLL for (size_t v = 0; v < vectors; v++) {
      const size_t some = count - v * LANES < LANES ? count - v * LANES : LANES;
      store(job->panel + (n * vectors + v) * LANES, NAME(some)(job->state + n * job->head_width + p + v * LANES, some));
    }
  __builtin_memset(job->panel + size * vectors * LANES, 0, (job->stride - size) * vectors * LANES * sizeof *job->panel);
  if (job->removal)
    for (size_t row = 0; row < job->rows; row += CHUNK_ROWS) NAME(linear_solve)(job, row, p, vectors);
  const size_t tiles = job->rows / CHUNK_ROWS, all = (job->head_width + 2 * LANES - 1) / (2 * LANES) * tiles;
  for (size_t tile = 0, before = p / (2 * LANES) * tiles; job->y && tile < tiles; tile++) {
    NAME(linear_outputs)(job, tile * CHUNK_ROWS, p, count, vectors);
    const size_t end = (before + tile + 1) * job->ahead / all;
    for (size_t token = (before + tile) * job->ahead / all; token < end; token++) NAME(linear_fetch)(job, token);
  }
  if (job->moves)
    for (size_t n = 0; n < size; n += CHUNK_ROWS) NAME(linear_move)(job, n, p, count, vectors);
}

static void NAME(linear_chunk)(const meander_linear_chunk *job) {
  NAME(linear_stack)(job);
  NAME(linear_scores)(job);
  size_t p = 0;
  for (; p + LANES < job->head_width; p += 2 * LANES) {
    const size_t count = job->head_width - p;
    NAME(linear_panel)(job, p, count < 2 * LANES ? count : 2 * LANES, 2);
  }
  if (p < job->head_width) NAME(linear_panel)(job, p, job->head_width - p, 1);
}
#undef CHUNK_ROWS

INLINE void NAME(solve_columns)(const meander_unit_solve *job, size_t i, size_t count, const size_t vectors) {
  for (size_t row = job->rows; row-- > 0;) {
    float *x = job->x + row * job->x_stride + i;
    vec sum[8];
    UNROLL for (size_t v = 0; v < vectors; v++) sum[v] = NAME(some)(x + v * LANES, count);
    for (size_t other = row + 1; other < job->rows; other++) {
      const vec factor = splat(job->lower[other * job->lower_stride + row]);
      const float *from = job->x + other * job->x_stride + i;
      UNROLL for (size_t v = 0; v < vectors; v++) sum[v] = fma_(factor, NAME(some)(from + v * LANES, count), sum[v]);
    }
    UNROLL for (size_t v = 0; v < vectors; v++) NAME(put)(x + v * LANES, sum[v], count);
  }
}

static void NAME(unit_solve)(const meander_unit_solve *job) {
  size_t i = 0;
  for (; i + 8 * LANES <= job->columns; i += 8 * LANES) NAME(solve_columns)(job, i, LANES, 8);
  for (; i < job->columns; i += LANES)
    NAME(solve_columns)(job, i, job->columns - i < LANES ? job->columns - i : LANES, 1);
}
