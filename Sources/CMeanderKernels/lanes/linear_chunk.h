// The linear recurrence in chunks: see LinearChunk.swift, which says what each letter is.

#define CHUNK_ROWS (LANES == 8 ? 4 : 8)

// Rows of K.
INLINE size_t NAME(linear_columns)(const meander_linear_chunk *job) {
  return job->replacement ? 2 * job->rows : job->rows;
}

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

// A block of rows, each times the factors of its token, and where there is a second block, times those of another kind;
// `ahead`: whose factors stand that many tokens further on.
INLINE void NAME(linear_block)(
    const meander_linear_chunk *job, const float *x, size_t x_stride, size_t ahead, const float *factors, float *to,
    const float *second_factors, float *second) {
  const size_t size = job->state_size, whole = size / LANES * LANES, stride = job->stride;
  const size_t filled = job->tokens * job->rank;
  const bool shared = job->decays == 1;
  for (size_t row = 0; row < filled; row++) {
    const size_t token = NAME(linear_token)(job, row), at = (token + ahead) * job->decays;
    const float *from = x + token * x_stride + (row - token * job->rank) * size;
    size_t n = 0;
    if (shared)
      for (; n < whole; n += LANES) {
        const vec value = load(from + n);
        store(to + row * stride + n, splat(factors[at]) * value);
        if (second) store(second + row * stride + n, splat(second_factors[at]) * value);
      }
    for (; n < stride; n += LANES) {
      const size_t count = n + LANES <= size ? LANES : n < size ? size - n : 0;
      const vec value = NAME(some)(from + n, count);
      store(to + row * stride + n, (shared ? splat(factors[at]) : NAME(some)(factors + at + n, count)) * value);
      if (!second) continue;
      const vec factor = shared ? splat(second_factors[at]) : NAME(some)(second_factors + at + n, count);
      store(second + row * stride + n, factor * value);
    }
  }
  __builtin_memset(to + filled * stride, 0, (job->rows - filled) * stride * sizeof *to);
  if (second) __builtin_memset(second + filled * stride, 0, (job->rows - filled) * stride * sizeof *to);
}

static __attribute__((noinline)) void NAME(linear_stack)(const meander_linear_chunk *job) {
  const size_t block = job->rows * job->stride, filled = job->tokens * job->rank, width = job->head_width;
  const bool same = job->removal == job->k && job->removal_stride == job->k_stride;
  float *removed = job->reads + block;
  NAME(linear_block)(job, job->q, job->q_stride, job->reads_before ? 0 : 1, job->shrink, job->reads, 0, 0);
  NAME(linear_block)(job, job->k, job->k_stride, 1, job->grow, job->writes, job->shrink, same ? removed : 0);
  if (job->removal && !same) NAME(linear_block)(job, job->removal, job->removal_stride, 1, job->shrink, removed, 0, 0);
  if (job->replacement)
    NAME(linear_block)(job, job->replacement, job->replacement_stride, 1, job->grow, job->writes + block, 0, 0);
  if (job->strengths) {
    for (size_t row = 0; row < job->rows; row++)
      job->strengths[row] = row < filled ? job->strength[row * job->strength_stride] : 0;
    return;
  }
  for (size_t row = 0; row < job->rows; row++) {
    const size_t token = NAME(linear_token)(job, row), slice = row - token * job->rank;
    const float *from = job->v + token * job->v_stride + slice * width;
    float *to = job->values + row * job->value_stride;
    const size_t count = row < filled ? width : 0;
    __builtin_memcpy(to, from, count * sizeof *to);
    __builtin_memset(to + count, 0, (job->value_stride - count) * sizeof *to);
  }
}

// Columns from p on of the state, whose panels have 32.
INLINE float *NAME(linear_state)(const meander_linear_chunk *job, size_t p) {
  return job->state + p / 32 * 32 * job->stride + p % 32;
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

// LANES rows of LANES numbers into as many columns: each round interleaves the halves.
INLINE void NAME(linear_turn)(const float *from, size_t stride, float *to, size_t to_stride) {
  vec x[LANES];
  UNROLL for (size_t i = 0; i < LANES; i++) x[i] = load(from + i * stride);
  UNROLL for (size_t width = 1; width < LANES; width *= 2) {
    vec y[LANES];
    UNROLL for (size_t i = 0; i < LANES / 2; i++) {
      y[2 * i].even = x[i].lo;
      y[2 * i].odd = x[i + LANES / 2].lo;
      y[2 * i + 1].even = x[i].hi;
      y[2 * i + 1].odd = x[i + LANES / 2].hi;
    }
    UNROLL for (size_t i = 0; i < LANES; i++) x[i] = y[i];
  }
  UNROLL for (size_t i = 0; i < LANES; i++) store(to + i * to_stride, x[i]);
}

// scores[i, j] = A[i]·K[j] for j written before i reads, else 0.
static __attribute__((noinline)) void NAME(linear_scores)(const meander_linear_chunk *job) {
  const size_t rows = job->rows, columns = NAME(linear_columns)(job);
  for (size_t j = 0; j < columns; j += LANES)
    for (size_t n = 0; n < job->stride; n += LANES)
      NAME(linear_turn)(job->writes + j * job->stride + n, job->stride, job->turned + n * columns + j, columns);
  const size_t all = job->removal ? 2 * rows : rows;
  for (size_t from = 0; from < all; from += 2 * CHUNK_ROWS) {
    const size_t row = from % rows, end = (NAME(linear_token)(job, row + 2 * CHUNK_ROWS - 1) + 1) * job->rank;
    const bool strictly = from >= rows || job->reads_before;
    const float *a = job->reads + from * job->stride;
    for (size_t first = 0; first < columns; first += rows)
      for (size_t column = 0; column < rows; column += LANES) {
        float *scores = job->scores + from * columns + first + column;
        vec sum[2 * CHUNK_ROWS];
        ints lane;
        for (int32_t i = 0; i < LANES; i++) lane[i] = i + (int32_t)column;
        UNROLL for (size_t i = 0; i < 2 * CHUNK_ROWS; i++) sum[i] = splat(0);
        if (column < end) {
          const float *turned = job->turned + first + column;
          for (size_t n = 0; n < job->state_size; n++) {
            const vec w = load(turned + n * columns);
            UNROLL for (size_t r = 0; r < 2 * CHUNK_ROWS; r++)
              sum[r] = fma_(splat(a[n + r * job->stride]), w, sum[r]);
          }
        }
        UNROLL for (size_t r = 0; r < 2 * CHUNK_ROWS; r++) {
          const int32_t last = (int32_t)((NAME(linear_token)(job, row + r) + (strictly ? 0 : 1)) * job->rank);
          store(scores + r * columns, lane < last ? sum[r] : splat(0));
        }
      }
  }
}

// W of CHUNK_ROWS rows from `row` on, of what they find of G and of the rows before; each is found before the next one
// finds it.
INLINE void NAME(linear_solve)(
    const meander_linear_chunk *job, size_t row, size_t p, size_t count, const size_t vectors) {
  const size_t rows = job->rows, columns = NAME(linear_columns)(job), own = columns - rows;
  const float *scores = job->scores + (rows + row) * columns;
  float *values = job->values + (own + row) * job->value_stride + p;
  vec sum[CHUNK_ROWS * 2];
  UNROLL for (size_t i = 0; i < CHUNK_ROWS * vectors; i++) sum[i] = splat(0);
  NAME(linear_tile)(
      job->reads + (rows + row) * job->stride, job->stride, 1, NAME(linear_state)(job, p), 32, job->state_size, sum,
      vectors);
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
      if (job->strengths) {
        // Of one slice, so that a row is a token.
        const size_t some = row + i >= job->tokens ? 0 : count - v * LANES < LANES ? count - v * LANES : LANES;
        const vec given = NAME(some)(job->v + (row + i) * job->v_stride + p + v * LANES, some);
        value[v] = fma_(splat(job->strengths[row + i]), value[v], given);
      }
      store(to + v * LANES, value[v]);
    }
    UNROLL for (size_t r = i + 1; r < CHUNK_ROWS; r++)
      UNROLL for (size_t v = 0; v < vectors; v++)
        sum[r * vectors + v] = fma_(splat(scores[r * columns + i]), value[v], sum[r * vectors + v]);
  }
}

INLINE void NAME(linear_outputs)(
    const meander_linear_chunk *job, size_t row, size_t p, size_t count, const size_t vectors) {
  const size_t rows = job->rows, columns = NAME(linear_columns)(job), filled = job->tokens * job->rank;
  const size_t last = (NAME(linear_token)(job, row + CHUNK_ROWS - 1) + 1) * job->rank, end = last < rows ? last : rows;
  vec sum[CHUNK_ROWS * 2];
  UNROLL for (size_t i = 0; i < CHUNK_ROWS * vectors; i++) sum[i] = splat(0);
  NAME(linear_tile)(
      job->reads + row * job->stride, job->stride, 1, NAME(linear_state)(job, p), 32, job->state_size, sum, vectors);
  for (size_t first = 0; first < columns; first += rows)
    NAME(linear_tile)(
        job->scores + row * columns + first, columns, 1, job->values + first * job->value_stride + p, job->value_stride,
        end, sum, vectors);
  UNROLL for (size_t r = 0; r < CHUNK_ROWS; r++) {
    if (row + r >= filled) continue;
    const size_t token = NAME(linear_token)(job, row + r), slice = row + r - token * job->rank;
    float *y = job->y + token * job->y_stride + slice * job->head_width + p;
    UNROLL for (size_t v = 0; v < vectors; v++)
      NAME(put)(y + v * LANES, sum[r * vectors + v], count - v * LANES < LANES ? count - v * LANES : LANES);
  }
}

INLINE void NAME(linear_move)(const meander_linear_chunk *job, size_t n, size_t p, const size_t vectors) {
  vec sum[CHUNK_ROWS * 2];
  float *state = NAME(linear_state)(job, p) + n * 32;
  UNROLL for (size_t r = 0; r < CHUNK_ROWS; r++)
    UNROLL for (size_t v = 0; v < vectors; v++) sum[r * vectors + v] = load(state + r * 32 + v * LANES);
  NAME(linear_tile)(
      job->writes + n, 1, job->stride, job->values + p, job->value_stride, NAME(linear_columns)(job), sum, vectors);
  UNROLL for (size_t r = 0; r < CHUNK_ROWS; r++)
    UNROLL for (size_t v = 0; v < vectors; v++) store(state + r * 32 + v * LANES, sum[r * vectors + v]);
}

// Asks for rows of what is read next, while this part is computed: they lie far apart. `done` of `all` products are
// made.
INLINE void NAME(linear_fetch)(const meander_linear_chunk *job, size_t *index, size_t done, size_t all) {
  const float *const from[] = {
      job->q, job->k, job->v, job->y, job->removal == job->k ? 0 : job->removal, job->replacement};
  const size_t strides[] = {
      job->q_stride, job->k_stride, job->v_stride, job->y_stride, job->removal_stride, job->replacement_stride};
  const size_t arrays = sizeof from / sizeof *from;
  for (const size_t end = job->ahead * arrays * done / all; *index < end; ++*index) {
    const size_t array = *index % arrays;
    if (!from[array]) continue;
    const float *row = from[array] + (job->tokens + *index / arrays) * strides[array];
    const size_t count = job->rank * (array == 2 || array == 3 ? job->head_width : job->state_size);
    for (size_t i = 0; i < count; i += MEANDER_BLOCK) __builtin_prefetch(row + i, 0, 3);
  }
}

// Columns [p, p + count) of everything that has P of them.
INLINE void NAME(linear_panel)(
    const meander_linear_chunk *job, size_t p, size_t count, const size_t vectors, size_t *index) {
  const size_t tiles = job->rows / CHUNK_ROWS, moves = (job->state_size + CHUNK_ROWS - 1) / CHUNK_ROWS;
  const size_t each = 3 * tiles * moves, all = (job->head_width + 2 * LANES - 1) / (2 * LANES) * each;
  size_t done = p / (2 * LANES) * each;
  for (size_t tile = 0; job->removal && tile < tiles; tile++) {
    NAME(linear_solve)(job, tile * CHUNK_ROWS, p, count, vectors);
    NAME(linear_fetch)(job, index, done += moves, all);
  }
  for (size_t tile = 0; job->y && tile < tiles; tile++) {
    NAME(linear_outputs)(job, tile * CHUNK_ROWS, p, count, vectors);
    NAME(linear_fetch)(job, index, done += moves, all);
  }
  for (size_t tile = 0; job->moves && tile < moves; tile++) {
    NAME(linear_move)(job, tile * CHUNK_ROWS, p, vectors);
    NAME(linear_fetch)(job, index, done += tiles, all);
  }
}

// The part of a job that begins at its token `first`.
INLINE meander_linear_chunk NAME(linear_part)(const meander_linear_chunk *job, size_t first) {
  meander_linear_chunk part = *job;
  const size_t left = job->tokens - first;
  part.tokens = left < job->span ? left : job->span;
  part.ahead = left > part.tokens ? left - part.tokens : job->ahead;
  if (part.ahead > job->span) part.ahead = job->span;
  part.q += first * job->q_stride;
  part.k += first * job->k_stride;
  if (part.removal) part.removal += first * job->removal_stride;
  if (part.replacement) part.replacement += first * job->replacement_stride;
  if (part.strength) part.strength += first * job->strength_stride;
  part.v += first * job->v_stride;
  if (part.y) part.y += first * job->y_stride;
  part.shrink += first * job->decays;
  part.grow += first * job->decays;
  return part;
}

static __attribute__((noinline)) void NAME(linear_whole)(const meander_linear_chunk *part) {
  NAME(linear_stack)(part);
  NAME(linear_scores)(part);
  size_t p = 0, index = 0;
  for (; p + LANES < part->head_width; p += 2 * LANES) {
    const size_t count = part->head_width - p;
    NAME(linear_panel)(part, p, count < 2 * LANES ? count : 2 * LANES, 2, &index);
  }
  if (p < part->head_width) NAME(linear_panel)(part, p, part->head_width - p, 1, &index);
}

// Part after part. Its phases are functions of their own, which keeps registers for the loops inside.
static void NAME(linear_chunk)(const meander_linear_chunk *job) {
  NAME(linear_exponents)(job);
  for (size_t first = 0; first < job->tokens; first += job->span) {
    const meander_linear_chunk part = NAME(linear_part)(job, first);
    NAME(linear_whole)(&part);
  }
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
