// Products on quantised weights: codes of weights by codes of activations in integers, which are exact; then a scale for
// each run, in one fixed order. So a result depends neither on the tile nor on the table.

#if LANES == 16
#define BLOCK_ROWS 6
#define BLOCK_PANELS 2
#define BLOCK_ROW_PANELS 4
#else
#define BLOCK_ROWS 4
#define BLOCK_PANELS 1
#define BLOCK_ROW_PANELS (LANES / 4)
#endif
#define BLOCK_TILE_VECTORS (BLOCK_ROWS * BLOCK_PANELS * BLOCK_VECTORS)
// Bytes of activations that stay in L2 while panels pass.
#define ACTIVATION_BYTES 393216

static void NAME(round_activations)(const meander_activation_rounding *job, size_t first_row, size_t end_row) {
  const size_t vectors = MEANDER_ACTIVATION_BLOCK / LANES, halves = MEANDER_ACTIVATION_BLOCK / job->layout.run;
  const int32_t offset = job->layout.fits_nibble ? job->layout.offset : BYTE_OFFSET;
  for (size_t row = first_row; row < end_row; row++)
    for (size_t block = 0; block < job->columns / MEANDER_ACTIVATION_BLOCK; block++) {
      const float *x = job->x + row * job->x_stride + block * MEANDER_ACTIVATION_BLOCK;
      meander_activations *y = job->y + row * job->y_stride + block;
      // As integers, magnitudes are ordered like the numbers, and NaN is above all.
      ints largest = 0;
      for (size_t v = 0; v < vectors; v++) {
        ints magnitude = bits(load(x + v * LANES)) & 0x7fffffff;
        largest = magnitude > largest ? magnitude : largest;
      }
      int32_t most = __builtin_reduce_max(largest);
      float magnitude = __builtin_bit_cast(float, most);
      // What is too small for its inverse counts as nothing.
      float inverse = magnitude >= 0x1p-100f ? 127.0f / magnitude : 0;
      y->scale = magnitude / 127.0f;
      for (size_t v = 0; v < vectors; v++) {
        vec shifted = load(x + v * LANES) * splat(inverse) + splat(EXP_MAGIC);
        small_ints codes = __builtin_convertvector(bits(shifted) - bits(splat(EXP_MAGIC)), small_ints);
        __builtin_memcpy(y->codes + v * LANES, &codes, sizeof codes);
      }
      for (size_t half = 0; half < halves; half++) {
        int32_t sum = 0;
        for (size_t k = 0; k < job->layout.run; k++) sum += y->codes[half * job->layout.run + k];
        y->start[half] = -offset * sum;
        y->sum[half] = y->scale * (float)sum;
      }
    }
}

// Where a tile stands: its activations, and in its first panel the codes, scales and minima.
typedef struct {
  const meander_activations *x;
  size_t x_stride, panel_bytes;
  const uint8_t *codes, *scales, *minima;
} NAME(block_place);

INLINE int32_t NAME(four_codes)(const meander_activations *x, size_t group) {
  int32_t codes;
  __builtin_memcpy(&codes, x->codes + 4 * group, sizeof codes);
  return codes;
}

// Sums of products of codes over the groups of four k from `first` to `end`, of the 32 k that begin at `codes`.
INLINE void NAME(dot_run)(
    NAME(block_place) at, const uint8_t *codes, ints *sum, size_t rows, size_t vectors, bool nibbles, size_t first,
    size_t end) {
  ints w[BLOCK_TILE_VECTORS];
  UNROLL for (size_t group = first; group < end; group++) {
    UNROLL for (size_t v = 0; v < vectors; v++) {
      const uint8_t *from = codes + v / BLOCK_VECTORS * at.panel_bytes + v % BLOCK_VECTORS * LANES * 4;
      if (nibbles) {
        w[v] = NAME(codes_at)(from + group / 2 * 64);
        w[v] = (group % 2 ? w[v] >> 4 : w[v]) & 0x0f0f0f0f;
      } else {
        w[v] = NAME(codes_at)(from + group * 64);
      }
    }
    UNROLL for (size_t r = 0; r < rows; r++) {
      const int32_t x = NAME(four_codes)(at.x + r * at.x_stride, group);
      UNROLL for (size_t v = 0; v < vectors; v++)
        sum[r * vectors + v] =
            nibbles ? DOT_NIBBLES(sum[r * vectors + v], w[v], x) : DOT_BYTES(sum[r * vectors + v], w[v], x);
    }
  }
}

INLINE void NAME(block_tile)(
    const meander_block_product *job, size_t row, size_t panel, size_t rows, size_t panels, bool nibbles, size_t run) {
  const size_t vectors = panels * BLOCK_VECTORS, halves = MEANDER_ACTIVATION_BLOCK / run;
  const bool are_halves = job->layout.scales_are_halves, has_minimum = job->layout.has_minimum;
  const uint8_t *first = packed_panel(job->weight, &job->layout, job->inner, panel * MEANDER_BLOCK);
  NAME(block_place) at = {
      job->x + row * job->x_stride, job->x_stride, meander_bytes_of_panel(&job->layout, job->inner), first,
      first + packed_scales(&job->layout, job->inner), first + packed_minima(&job->layout, job->inner)};
  vec sum[BLOCK_TILE_VECTORS];
  UNROLL for (size_t i = 0; i < rows * vectors; i++) sum[i] = splat(0);
  for (size_t block = 0; block < job->inner / MEANDER_ACTIVATION_BLOCK; block++, at.x++)
    UNROLL for (size_t half = 0; half < halves; half++) {
      ints total[BLOCK_TILE_VECTORS];
      UNROLL for (size_t r = 0; r < rows; r++)
        UNROLL for (size_t v = 0; v < vectors; v++) total[r * vectors + v] = (ints)at.x[r * at.x_stride].start[half];
      NAME(dot_run)(
          at, at.codes + block * (nibbles ? 256 : 512), total, rows, vectors, nibbles, half * run / 4,
          (half + 1) * run / 4);
      UNROLL for (size_t v = 0; v < vectors; v++) {
        const size_t place = (block * halves + half) * MEANDER_BLOCK + v % BLOCK_VECTORS * LANES;
        const size_t skipped = v / BLOCK_VECTORS * at.panel_bytes;
        const vec scale = NAME(scales_at)(at.scales + skipped, are_halves, place);
        UNROLL for (size_t r = 0; r < rows; r++)
          sum[r * vectors + v] = fma_(
              __builtin_convertvector(total[r * vectors + v], vec), scale * splat(at.x[r * at.x_stride].scale),
              sum[r * vectors + v]);
        if (has_minimum) {
          const vec minimum = NAME(scales_at)(at.minima + skipped, are_halves, place);
          UNROLL for (size_t r = 0; r < rows; r++)
            sum[r * vectors + v] = fma_(minimum, splat(at.x[r * at.x_stride].sum[half]), sum[r * vectors + v]);
        }
      }
    }
  const meander_product finished = {
      .bias = job->bias, .adding = job->adding, .y = job->y, .y_stride = job->y_stride, .outputs = job->outputs};
  if ((panel + panels) * MEANDER_BLOCK <= job->outputs) {
    NAME(finish)(&finished, (NAME(place)){row, panel, 0, 0, 0, 0}, sum, rows, vectors);
  } else {
    float part[BLOCK_TILE_VECTORS * LANES];
    UNROLL for (size_t i = 0; i < rows * vectors; i++) store(part + i * LANES, sum[i]);
    NAME(finish_part)(&finished, row, rows, panel * MEANDER_BLOCK, part, panels * MEANDER_BLOCK);
  }
}

// All rows by `panels` panels, BLOCK_ROWS at a time, then two, then one.
INLINE void NAME(block_rows)(
    const meander_block_product *job, size_t row, size_t end_row, size_t panel, size_t panels, bool nibbles, size_t run) {
  for (; end_row - row >= BLOCK_ROWS; row += BLOCK_ROWS)
    NAME(block_tile)(job, row, panel, BLOCK_ROWS, panels, nibbles, run);
  for (; end_row - row >= 2; row += 2) NAME(block_tile)(job, row, panel, 2, panels, nibbles, run);
  if (row < end_row) NAME(block_tile)(job, row, panel, 1, panels, nibbles, run);
}

INLINE void NAME(block_panels)(
    const meander_block_product *job, size_t first_row, size_t end_row, size_t panel, size_t end_panel, bool nibbles,
    size_t run) {
  if (end_row - first_row == 1)
    for (; end_panel - panel >= BLOCK_ROW_PANELS; panel += BLOCK_ROW_PANELS)
      NAME(block_tile)(job, first_row, panel, 1, BLOCK_ROW_PANELS, nibbles, run);
#if BLOCK_PANELS > 1
  for (; end_panel - panel >= BLOCK_PANELS; panel += BLOCK_PANELS)
    NAME(block_rows)(job, first_row, end_row, panel, BLOCK_PANELS, nibbles, run);
#endif
  for (; panel < end_panel; panel++) NAME(block_rows)(job, first_row, end_row, panel, 1, nibbles, run);
}

#define BLOCK_KIND(name, nibbles, run)                                                                               \
  static void NAME(name)(                                                                                            \
      const meander_block_product *job, size_t first_row, size_t end_row, size_t first_panel, size_t end_panel) {    \
    NAME(block_panels)(job, first_row, end_row, first_panel, end_panel, nibbles, run);                               \
  }
BLOCK_KIND(bytes_of_32, false, 32)
BLOCK_KIND(bytes_of_16, false, 16)
BLOCK_KIND(nibbles_of_32, true, 32)
BLOCK_KIND(nibbles_of_16, true, 16)
#undef BLOCK_KIND

static void NAME(block_product)(
    const meander_block_product *job, size_t first_row, size_t end_row, size_t first_panel, size_t end_panel) {
  const size_t bytes_of_row = job->inner / MEANDER_ACTIVATION_BLOCK * sizeof(meander_activations);
  size_t block = bytes_of_row ? ACTIVATION_BYTES / bytes_of_row / BLOCK_ROWS * BLOCK_ROWS : BLOCK_ROWS;
  if (block < 4 * BLOCK_ROWS) block = 4 * BLOCK_ROWS;
  const bool is_long = job->layout.run == MEANDER_ACTIVATION_BLOCK;
  for (size_t row = first_row; row < end_row; row += block) {
    const size_t end = end_row - row > block ? row + block : end_row;
    if (job->layout.fits_nibble) {
      (is_long ? NAME(nibbles_of_32) : NAME(nibbles_of_16))(job, row, end, first_panel, end_panel);
    } else {
      (is_long ? NAME(bytes_of_32) : NAME(bytes_of_16))(job, row, end, first_panel, end_panel);
    }
  }
}
#undef BLOCK_ROWS
#undef BLOCK_PANELS
#undef BLOCK_ROW_PANELS
#undef BLOCK_TILE_VECTORS
#undef ACTIVATION_BYTES
