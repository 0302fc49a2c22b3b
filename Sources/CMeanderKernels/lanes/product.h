// The packed product. A tile of rows by panels keeps its sums in registers while the inner dimension runs; where the
// inner dimension is cut, for the sake of the first-level cache, sums wait in memory, which rounds nothing.

#if LANES == 16
// One panel, not two: two leave x no room in L1, which cost a quarter of the time where it was measured.
#define TILE_ROWS 12
#define TILE_PANELS 1
#define ROW_PANELS 8
#else
// Five rows, not six: six leave sixteen registers one short, and a sum that waits on the stack costs a third of the time.
#define TILE_ROWS 5
#define TILE_PANELS 1
// At one row: enough sums in flight to hide the latency of fused multiply-add.
#define ROW_PANELS 4
#endif
#define TILE_VECTORS 24
// A block of weights (16 KB a panel) that stays in L1 while rows pass, and of x (384 KB) that stays in L2.
#define INNER_BLOCK 256
#define ROW_BLOCK 192
#define X_BLOCK_FLOATS 98304

// Where a tile stands, and where its sums wait between two cuts of the inner dimension.
typedef struct {
  size_t row, panel, from, to;
  float *sums;
  // bf16 weights of this place in fp32, [panel][k][16], where many rows share the work of widening them; blocks always.
  const float *widened;
} NAME(place);

INLINE void NAME(step)(vec *sum, size_t rows, size_t vectors, const vec *w, const float *x, size_t stride) {
  UNROLL for (size_t r = 0; r < rows; r++) {
    vec value = splat(x[r * stride]);
    UNROLL for (size_t v = 0; v < vectors; v++) sum[r * vectors + v] = fma_(value, w[v], sum[r * vectors + v]);
  }
}

INLINE void NAME(accumulate)(
    const meander_product *job, NAME(place) at, const float *weight, size_t panel_stride, vec *sum, size_t rows,
    size_t panels) {
  const size_t vectors = panels * BLOCK_VECTORS, stride = job->x_stride;
  const float *x = job->x + at.row * stride;
  vec w[TILE_VECTORS];
  for (size_t k = at.from; k < at.to; k++, weight += MEANDER_BLOCK) {
    UNROLL for (size_t v = 0; v < vectors; v++)
      w[v] = load(weight + v / BLOCK_VECTORS * panel_stride + v % BLOCK_VECTORS * LANES);
    NAME(step)(sum, rows, vectors, w, x + k, stride);
  }
}

// Weights of two successive k share a 32-bit word: the even one its low half.
INLINE void NAME(accumulate_bf16)(const meander_product *job, NAME(place) at, vec *sum, size_t rows, size_t panels) {
  const size_t vectors = panels * BLOCK_VECTORS, panel_stride = (job->inner + 1) / 2 * MEANDER_BLOCK;
  const float *x = job->x + at.row * job->x_stride;
  const float *weight = (const float *)job->weight + at.panel * panel_stride;
  for (size_t k = at.from; k < at.to; k += 2) {
    const bool has_odd = k + 1 < at.to;
    UNROLL for (size_t v = 0; v < vectors; v++) {
      ints pair = bits(
          load(weight + v / BLOCK_VECTORS * panel_stride + k / 2 * MEANDER_BLOCK + v % BLOCK_VECTORS * LANES));
      vec even = floats(pair << 16), odd = floats(pair & (int32_t)0xffff0000);
      UNROLL for (size_t r = 0; r < rows; r++) {
        const float *at_k = x + r * job->x_stride + k;
        vec total = fma_(splat(at_k[0]), even, sum[r * vectors + v]);
        sum[r * vectors + v] = has_odd ? fma_(splat(at_k[1]), odd, total) : total;
      }
    }
  }
}

#ifdef PAIR_DOT
// Inputs and weights both as words of two bf16: one instruction adds two products to a sum.
INLINE void NAME(accumulate_pairs)(const meander_product *job, NAME(place) at, vec *sum, size_t rows, size_t panels) {
  const size_t vectors = panels * BLOCK_VECTORS, panel_stride = (job->inner + 1) / 2 * MEANDER_BLOCK;
  const float *x = job->x + at.row * job->x_stride;
  const float *weight = (const float *)job->weight + at.panel * panel_stride;
  vec w[TILE_VECTORS];
  for (size_t k = at.from / 2; k < (at.to + 1) / 2; k++) {
    UNROLL for (size_t v = 0; v < vectors; v++)
      w[v] = load(weight + v / BLOCK_VECTORS * panel_stride + k * MEANDER_BLOCK + v % BLOCK_VECTORS * LANES);
    UNROLL for (size_t r = 0; r < rows; r++) {
      vec pair = splat(x[r * job->x_stride + k]);
      UNROLL for (size_t v = 0; v < vectors; v++) sum[r * vectors + v] = PAIR_DOT(sum[r * vectors + v], pair, w[v]);
    }
  }
}
#endif

// Finished sums into y, where every vector lies inside the outputs.
INLINE void NAME(finish)(const meander_product *job, NAME(place) at, const vec *sum, size_t rows, size_t vectors) {
  const size_t output = at.panel * MEANDER_BLOCK;
  float *y = job->y + at.row * job->y_stride + output;
  UNROLL for (size_t v = 0; v < vectors; v++) {
    vec bias = job->bias ? load(job->bias + output + v * LANES) : splat(0);
    UNROLL for (size_t r = 0; r < rows; r++) {
      float *to = y + r * job->y_stride + v * LANES;
      vec value = job->bias ? sum[r * vectors + v] + bias : sum[r * vectors + v];
      store(to, job->adding ? load(to) + value : value);
    }
  }
}

// The same where the last panel is not full: `sums` holds the tile's rows, one after the other.
static void NAME(finish_part)(
    const meander_product *job, size_t first_row, size_t rows, size_t first_output, const float *sums, size_t width) {
  const size_t count = job->outputs - first_output < width ? job->outputs - first_output : width;
  for (size_t r = 0; r < rows; r++) {
    float *y = job->y + (first_row + r) * job->y_stride + first_output;
    for (size_t i = 0; i < count; i++) {
      float value = sums[r * width + i];
      if (job->bias) value += job->bias[first_output + i];
      y[i] = job->adding ? y[i] + value : value;
    }
  }
}

INLINE void NAME(tile)(const meander_product *job, NAME(place) at, size_t rows, size_t panels) {
  const size_t vectors = panels * BLOCK_VECTORS;
  vec sum[TILE_VECTORS];
  if (at.from) {
    UNROLL for (size_t i = 0; i < rows * vectors; i++) sum[i] = load(at.sums + i * LANES);
  } else {
    UNROLL for (size_t i = 0; i < rows * vectors; i++) sum[i] = splat(0);
  }
#ifdef PAIR_DOT
  if (job->x_is_pairs) {
    NAME(accumulate_pairs)(job, at, sum, rows, panels);
  } else
#endif
  if (at.widened) {
    NAME(accumulate)(job, at, at.widened, INNER_BLOCK * MEANDER_BLOCK, sum, rows, panels);
  } else if (job->is_bf16) {
    NAME(accumulate_bf16)(job, at, sum, rows, panels);
  } else {
    const float *weight = (const float *)job->weight + (at.panel * job->inner + at.from) * MEANDER_BLOCK;
    NAME(accumulate)(job, at, weight, job->inner * MEANDER_BLOCK, sum, rows, panels);
  }
  const bool is_whole = (at.panel + panels) * MEANDER_BLOCK <= job->outputs;
  if (at.to == job->inner && is_whole) {
    NAME(finish)(job, at, sum, rows, vectors);
  } else {
    float part[TILE_VECTORS * LANES];
    float *sums = at.to == job->inner ? part : at.sums;
    UNROLL for (size_t i = 0; i < rows * vectors; i++) store(sums + i * LANES, sum[i]);
    if (at.to == job->inner)
      NAME(finish_part)(job, at.row, rows, at.panel * MEANDER_BLOCK, part, panels * MEANDER_BLOCK);
  }
}

#define TILE_CASE(rows) \
  case rows: NAME(tile)(job, at, rows, panels); break;

// Up to TILE_ROWS rows by one panel or TILE_PANELS panels.
INLINE void NAME(rows_of_tile)(const meander_product *job, NAME(place) at, size_t rows, size_t panels) {
  switch (rows) {
    TILE_CASE(1) TILE_CASE(2) TILE_CASE(3) TILE_CASE(4) TILE_CASE(5)
#if TILE_ROWS > 5
    TILE_CASE(6) TILE_CASE(7) TILE_CASE(8) TILE_CASE(9) TILE_CASE(10) TILE_CASE(11) TILE_CASE(12)
#endif
    default: break;
  }
}
#undef TILE_CASE

// The rows of the next tile: the last two tiles share what is left evenly.
INLINE size_t NAME(next_rows)(size_t left) {
  if (left >= 2 * TILE_ROWS || left <= TILE_ROWS) return left < TILE_ROWS ? left : TILE_ROWS;
  return (left + 1) / 2;
}

// Weights of `panels` panels from k = `from` to `to` (bf16 and an odd end: one column more) as [panel][k - from][16].
INLINE void NAME(widen)(const meander_product *job, NAME(place) at, size_t panels, float *to) {
  if (job->blocks) {
    for (size_t panel = 0; panel < panels; panel++)
      NAME(widen_blocks)(
          job->weight, job->blocks, job->inner, at.panel + panel, at.from, at.to, to + panel * INNER_BLOCK * MEANDER_BLOCK);
    return;
  }
  const size_t panel_stride = (job->inner + 1) / 2 * MEANDER_BLOCK;
  for (size_t panel = 0; panel < panels; panel++) {
    const float *pairs = (const float *)job->weight + (at.panel + panel) * panel_stride + at.from / 2 * MEANDER_BLOCK;
    float *out = to + panel * INNER_BLOCK * MEANDER_BLOCK;
    for (size_t k = at.from; k < at.to; k += 2, pairs += MEANDER_BLOCK, out += 2 * MEANDER_BLOCK)
      UNROLL for (size_t v = 0; v < BLOCK_VECTORS; v++) {
        ints pair = bits(load(pairs + v * LANES));
        store(out + v * LANES, floats(pair << 16));
        store(out + MEANDER_BLOCK + v * LANES, floats(pair & (int32_t)0xffff0000));
      }
  }
}

static void NAME(row_block)(const meander_product *job, size_t first_row, size_t end_row, size_t panel, size_t panels) {
  float sums[ROW_BLOCK * TILE_PANELS * MEANDER_BLOCK];
  float widened[TILE_PANELS * INNER_BLOCK * MEANDER_BLOCK];
  const bool widens = job->blocks || (job->is_bf16 && !job->x_is_pairs && end_row - first_row > 2 * TILE_ROWS);
  size_t from = 0;
  do {
    size_t to = job->inner - from > INNER_BLOCK ? from + INNER_BLOCK : job->inner, rows;
    NAME(place) at = {first_row, panel, from, to, sums, widens ? widened : 0};
    if (widens) NAME(widen)(job, at, panels, widened);
    for (; at.row < end_row; at.row += rows, at.sums += rows * panels * MEANDER_BLOCK) {
      rows = NAME(next_rows)(end_row - at.row);
      if (panels == 1) {
        NAME(rows_of_tile)(job, at, rows, 1);
      } else {
        NAME(rows_of_tile)(job, at, rows, TILE_PANELS);
      }
    }
    from = to;
  } while (from < job->inner);
}

// One to three rows: the weights are what must be read, so several panels run at once and each byte is read once.
static void NAME(few_rows)(const meander_product *job, size_t row, size_t rows, size_t panel, size_t end_panel) {
  while (panel < end_panel) {
    size_t left = end_panel - panel;
    NAME(place) at = {row, panel, 0, job->inner, 0, 0};
    if (rows == 1 && left >= ROW_PANELS) {
      NAME(tile)(job, at, 1, ROW_PANELS);
      panel += ROW_PANELS;
    } else if (left >= ROW_PANELS / 2 && rows <= 3) {
      if (rows == 1) NAME(tile)(job, at, 1, ROW_PANELS / 2);
      if (rows == 2) NAME(tile)(job, at, 2, ROW_PANELS / 2);
      if (rows == 3) NAME(tile)(job, at, 3, ROW_PANELS / 2);
      panel += ROW_PANELS / 2;
    } else {
      NAME(rows_of_tile)(job, at, rows, 1);
      panel += 1;
    }
  }
}

static void NAME(product)(
    const meander_product *job, size_t first_row, size_t end_row, size_t first_panel, size_t end_panel) {
  if (end_row - first_row <= 3 && !job->blocks) {
    if (end_row > first_row) NAME(few_rows)(job, first_row, end_row - first_row, first_panel, end_panel);
    return;
  }
  size_t block = job->inner ? X_BLOCK_FLOATS / job->inner / TILE_ROWS * TILE_ROWS : ROW_BLOCK;
  if (block > ROW_BLOCK) block = ROW_BLOCK;
  if (block < 4 * TILE_ROWS) block = 4 * TILE_ROWS;
  for (size_t row = first_row; row < end_row; row += block) {
    size_t end = end_row - row > block ? row + block : end_row;
    for (size_t panel = first_panel; panel < end_panel;) {
      size_t panels = end_panel - panel >= TILE_PANELS ? TILE_PANELS : 1;
      NAME(row_block)(job, row, end, panel, panels);
      panel += panels;
    }
  }
}
#undef TILE_ROWS
#undef TILE_PANELS
#undef ROW_PANELS
#undef TILE_VECTORS
#undef INNER_BLOCK
#undef ROW_BLOCK
#undef X_BLOCK_FLOATS
