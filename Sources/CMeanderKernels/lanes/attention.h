// Attention over a cache of keys in panels and values in rows: what both ways have in common, and the one by whole rows of
// scores. Softmax goes block by block, see attention_blocks.h.
//
// A score is one chain of fused multiply-adds over the head's width. A row's columns stand at their position's place modulo
// 16, so the 16 partial sums of the weights, joined by the fixed tree, are of the same positions wherever a ring has them.
// An output is one chain over positions in ascending order, in which what a token does not see counts exactly nothing. So
// bits depend neither on how many queries are asked at once, nor on where in the ring a position stands.

#define ATTENTION_TILE (LANES == 16 ? 12 : LANES == 8 ? 6 : 4)
// Panels of 16 keys, or 16 places of values, that a tile takes at a time: twice as many sums as loads of other numbers.
#define ATTENTION_PANELS (LANES == 16 ? 2 : 1)

// Queries times `scale` as tiles read them: those of a tile side by side, place by place.
INLINE void NAME(pack_query)(const float *q, size_t width, float scale, size_t row, float *to) {
  to += row / ATTENTION_TILE * ATTENTION_TILE * width + row % ATTENTION_TILE;
  for (size_t k = 0; k < width; k++) to[k * ATTENTION_TILE] = q[k] * scale;
}

// Scores of `rows` packed queries with a run of panels of 16 keys; those behind it are fetched meanwhile.
INLINE void NAME(score_tile)(
    const float *q, size_t rows, const float *panel, size_t panels, size_t width, float *to, size_t stride) {
  const size_t vectors = panels * BLOCK_VECTORS;
  vec sum[ATTENTION_TILE * ATTENTION_PANELS * BLOCK_VECTORS];
  UNROLL for (size_t i = 0; i < rows * vectors; i++) sum[i] = splat(0);
  for (size_t k = 0; k < width; k++, panel += MEANDER_BLOCK, q += ATTENTION_TILE) {
    UNROLL for (size_t v = 0; v < panels; v++) __builtin_prefetch(panel + (panels + v) * width * MEANDER_BLOCK);
    vec keys[ATTENTION_PANELS * BLOCK_VECTORS];
    UNROLL for (size_t v = 0; v < vectors; v++)
      keys[v] = load(panel + v / BLOCK_VECTORS * width * MEANDER_BLOCK + v % BLOCK_VECTORS * LANES);
    UNROLL for (size_t r = 0; r < rows; r++) {
      vec value = splat(q[r]);
      UNROLL for (size_t v = 0; v < vectors; v++) sum[r * vectors + v] = fma_(value, keys[v], sum[r * vectors + v]);
    }
  }
  UNROLL for (size_t r = 0; r < rows; r++)
    UNROLL for (size_t v = 0; v < vectors; v++) store(to + r * stride + v * LANES, sum[r * vectors + v]);
}

// Adds weight·value over `count` columns to the sums of so many vectors of places of `rows` outputs; values are fetched a
// panel ahead.
INLINE void NAME(value_tile)(
    const float *weights, size_t stride, size_t rows, const float *values, size_t value_stride, size_t vectors, size_t count,
    vec *sum) {
  for (size_t k = 0; k < count; k++, values += value_stride) {
    UNROLL for (size_t v = 0; v < vectors; v += BLOCK_VECTORS)
      __builtin_prefetch(values + MEANDER_BLOCK * value_stride + v * LANES);
    vec value[ATTENTION_PANELS * BLOCK_VECTORS];
    UNROLL for (size_t v = 0; v < vectors; v++) value[v] = load(values + v * LANES);
    UNROLL for (size_t r = 0; r < rows; r++) {
      vec weight = splat(weights[r * stride + k]);
      UNROLL for (size_t v = 0; v < vectors; v++) sum[r * vectors + v] = fma_(weight, value[v], sum[r * vectors + v]);
    }
  }
}

// What of a row is seen, in lanes: [first column of the vector, end) of one of the two segments.
INLINE vec NAME(seen)(vec value, int64_t column, int64_t from, int64_t to, float otherwise) {
  int64_t low = from - column, high = to - column;
  if (low <= 0 && high >= LANES) return value;
  float part[LANES];
  store(part, value);
  for (int64_t i = 0; i < LANES; i++)
    if (i < low || i >= high) part[i] = otherwise;
  return load(part);
}

// The two segments' seen columns, [from, to) each, in columns of the row.
typedef struct {
  int64_t first_end, from, to;
} NAME(seen_columns);

INLINE NAME(seen_columns) NAME(columns_seen)(const meander_attention_row *job, int64_t t) {
  int64_t globals = job->globals < t + 1 ? job->globals : t + 1;
  int64_t low = t - job->window + 1 > job->globals ? t - job->window + 1 : job->globals;
  if (globals > (int64_t)job->first) globals = (int64_t)job->first;
  NAME(seen_columns) seen = {
      globals, (int64_t)job->first + (low > job->base ? low - job->base : 0), (int64_t)job->first + t + 1 - job->base};
  if (seen.to > (int64_t)(job->first + job->count)) seen.to = (int64_t)(job->first + job->count);
  if (seen.to < seen.from) seen.to = seen.from;
  return seen;
}

// A vector of scores with scale and bias; what is not seen becomes `otherwise`.
INLINE vec NAME(biased)(
    const meander_attention_row *job, const float *bias, vec value, int64_t column, NAME(seen_columns) seen, int64_t t,
    float scale, float otherwise) {
  value *= scale;
  const bool is_first = column < (int64_t)job->first;
  if (bias) {
    // Distances fall as columns rise, so the table is read forwards; global tokens may lie beyond its end.
    int64_t distance = is_first ? t - column : t - job->base - (column - (int64_t)job->first);
    // A unit's first queries see nothing of its last columns, which lie further behind the table than its margin.
    if (distance < 0) return splat(otherwise);
    int64_t farthest = (int64_t)job->bias_length - 1;
    if (job->ceiling < farthest) farthest = job->ceiling;
    if (!is_first && distance <= farthest) {
      value += load(bias + MEANDER_BIAS_MARGIN + (int64_t)job->bias_length - 1 - distance);
    } else {
      float part[LANES];
      store(part, value);
      for (int64_t i = 0; i < LANES; i++) {
        int64_t own = distance - i < farthest ? distance - i : farthest;
        if (own >= 0) part[i] += bias[MEANDER_BIAS_MARGIN + (int64_t)job->bias_length - 1 - own];
      }
      value = load(part);
    }
  }
  return is_first ? NAME(seen)(value, column, 0, seen.first_end, otherwise)
                  : NAME(seen)(value, column, seen.from, seen.to, otherwise);
}

// Σ over all columns in 16 partial sums, of what `expression` makes of a vector `value` that it also stores.
#define OVER_COLUMNS(sum, expression)                                                  \
  block sum = {0};                                                                     \
  for (size_t at = 0; at < columns; at += LANES) {                                     \
    vec value = load(row + at);                                                        \
    value = expression;                                                                \
    store(row + at, value);                                                            \
    sum.v[at % MEANDER_BLOCK / LANES] += value;                                        \
  }

// Scores of one row to weights that are not yet divided by their sum, which is returned. `largest`: what was taken from the
// scores before exp, at least `floor`.
static float NAME(attention_weights)(
    const meander_attention_row *job, size_t head, int64_t t, float *row, float floor, float *largest) {
  const size_t columns = job->first + job->count;
  const NAME(seen_columns) seen = NAME(columns_seen)(job, t);
  const float *bias = job->bias ? job->bias + head * (job->bias_length + 2 * MEANDER_BIAS_MARGIN) : 0;
  const float count = (float)(seen.first_end + seen.to - seen.from);
  *largest = 0;
  if (!job->softplus) {
    vec most = splat(-__builtin_inff());
    for (size_t at = 0; at < columns; at += LANES) {
      vec value = NAME(biased)(job, bias, load(row + at), (int64_t)at, seen, t, job->scale, -__builtin_inff());
      store(row + at, value);
      most = value > most ? value : most;
    }
    float top = floor;
    for (size_t i = 0; i < LANES; i++) top = most[i] > top ? most[i] : top;
    *largest = top;
    OVER_COLUMNS(sums, exp_(value - top))
    return sum_of(sums);
  }
  const float scale = job->scale * job->log_width * (float)meander_log((double)count);
  for (size_t at = 0; at < columns; at += LANES) {
    vec value = softplus_(NAME(biased)(job, bias, load(row + at), (int64_t)at, seen, t, scale, 0));
    store(row + at, at < job->first ? NAME(seen)(value, (int64_t)at, 0, seen.first_end, 0)
                                    : NAME(seen)(value, (int64_t)at, seen.from, seen.to, 0));
  }
  OVER_COLUMNS(sums, value)
  const float total = sum_of(sums);
  if (job->power == 0) return total;
  vec most = splat(0);
  const float share = count / total;
  for (size_t at = 0; at < columns; at += LANES) {
    vec value = fma_(load(row + at), splat(share), splat(-job->offset));
    most = value > most ? value : most;
  }
  float top = 0;
  for (size_t i = 0; i < LANES; i++) top = most[i] > top ? most[i] : top;
  // Where nothing stands out, as for the first token, the weights stay as they are.
  if (top <= 0) return total;
  block sharpened = {0};
  for (size_t at = 0; at < columns; at += LANES) {
    vec value = fma_(load(row + at), splat(share), splat(-job->offset)) / top, raised = value < 0.0f ? splat(0) : value;
    value = raised;
    for (int32_t i = 1; i < job->power; i++) raised *= value;
    store(row + at, raised);
    sharpened.v[at % MEANDER_BLOCK / LANES] += raised;
  }
  return sum_of(sharpened);
}
#undef OVER_COLUMNS

// Token and head of a query, which are numbered for each key head: those of a token follow each other.
INLINE size_t NAME(row_token)(const meander_attention *job, size_t row) { return row / (job->heads / job->key_heads); }
INLINE size_t NAME(row_head)(const meander_attention *job, size_t key_head, size_t row) {
  const size_t group = job->heads / job->key_heads;
  return key_head * group + row % group;
}

// Up to ATTENTION_TILE queries of one key head.
typedef struct {
  const meander_attention *job;
  size_t key_head, first_row, rows;
  // Panels of the ring: the first one's number in the stream, and how many there are.
  int64_t first_panel;
  size_t panels;
  // Packed queries, and rows of scores; both again for global keys that count as if they stood at the ceiling.
  float *queries, *far_queries, *scores, *far;
  size_t stride;
} NAME(attention_tile);

INLINE size_t NAME(tile_token)(const NAME(attention_tile) *tile, size_t row) {
  return NAME(row_token)(tile->job, tile->first_row + row);
}
INLINE size_t NAME(tile_head)(const NAME(attention_tile) *tile, size_t row) {
  return NAME(row_head)(tile->job, tile->key_head, tile->first_row + row);
}

INLINE void NAME(tile_scores)(const NAME(attention_tile) *tile, size_t rows) {
  const meander_attention *job = tile->job;
  const size_t width = job->head_width;
  const size_t global_panels = job->rows.first / MEANDER_BLOCK, ring_panels = job->ring / MEANDER_BLOCK;
  const float *keys = job->keys + tile->key_head * (global_panels + ring_panels) * MEANDER_BLOCK * width;
  for (size_t r = 0; r < rows; r++) {
    const size_t token = NAME(tile_token)(tile, r), place = NAME(tile_head)(tile, r) * width;
    NAME(pack_query)(job->q + token * job->q_stride + place, width, 1, r, tile->queries);
    if (job->far_q) NAME(pack_query)(job->far_q + token * job->far_stride + place, width, 1, r, tile->far_queries);
  }
  for (size_t panel = 0; panel < global_panels; panel++)
    NAME(score_tile)(
        tile->queries, rows, keys + panel * MEANDER_BLOCK * width, 1, width, tile->scores + panel * MEANDER_BLOCK,
        tile->stride);
  for (size_t panel = 0; panel < tile->panels; panel++) {
    const size_t slot = global_panels + (size_t)(tile->first_panel + (int64_t)panel) % ring_panels;
    NAME(score_tile)(
        tile->queries, rows, keys + slot * MEANDER_BLOCK * width, 1, width,
        tile->scores + job->rows.first + panel * MEANDER_BLOCK, tile->stride);
  }
  if (!job->far_q) return;
  const float *far_keys = job->far_keys + tile->key_head * global_panels * MEANDER_BLOCK * width;
  for (size_t panel = 0; panel < global_panels; panel++)
    NAME(score_tile)(
        tile->far_queries, rows, far_keys + panel * MEANDER_BLOCK * width, 1, width, tile->far + panel * MEANDER_BLOCK,
        job->rows.first);
  for (size_t r = 0; r < rows; r++) {
    // Global tokens beyond the ceiling count as if they stood there.
    int64_t end = job->position + (int64_t)NAME(tile_token)(tile, r) - job->rows.ceiling;
    for (int64_t p = 0; p < end && p < (int64_t)job->rows.first; p++)
      tile->scores[r * tile->stride + (size_t)p] = tile->far[r * job->rows.first + (size_t)p];
  }
}

INLINE void NAME(tile_outputs)(const NAME(attention_tile) *tile, size_t rows, const float *sums, const float *lifts) {
  const meander_attention *job = tile->job;
  const size_t padded = (job->head_width + MEANDER_BLOCK - 1) / MEANDER_BLOCK * MEANDER_BLOCK, first = job->rows.first;
  const float *values = job->values + tile->key_head * (first + job->ring) * padded;
  for (size_t place = 0; place < padded; place += MEANDER_BLOCK) {
    const size_t count = job->head_width - place < MEANDER_BLOCK ? job->head_width - place : MEANDER_BLOCK;
    float part[MEANDER_BLOCK] = {0};
    vec sum[ATTENTION_TILE * BLOCK_VECTORS];
    for (size_t r = 0; r < rows; r++) {
      if (job->prefix) {
        const float *prefix = job->prefix + NAME(tile_token)(tile, r) * job->prefix_stride;
        __builtin_memcpy(part, prefix + NAME(tile_head)(tile, r) * job->head_width + place, count * sizeof *part);
      }
      UNROLL for (size_t v = 0; v < BLOCK_VECTORS; v++)
        sum[r * BLOCK_VECTORS + v] = job->prefix ? load(part + v * LANES) * lifts[r] : splat(0);
    }
    NAME(value_tile)(tile->scores, tile->stride, rows, values + place, padded, BLOCK_VECTORS, first, sum);
    for (size_t panel = 0; panel < tile->panels;) {
      // Up to the end of the ring, then from its beginning.
      const size_t slot = (size_t)(tile->first_panel + (int64_t)panel) * MEANDER_BLOCK % job->ring;
      size_t run = (job->ring - slot) / MEANDER_BLOCK;
      if (run > tile->panels - panel) run = tile->panels - panel;
      NAME(value_tile)(
          tile->scores + first + panel * MEANDER_BLOCK, tile->stride, rows, values + (first + slot) * padded + place, padded,
          BLOCK_VECTORS, run * MEANDER_BLOCK, sum);
      panel += run;
    }
    for (size_t r = 0; r < rows; r++) {
      float *y = job->y + NAME(tile_token)(tile, r) * job->y_stride + NAME(tile_head)(tile, r) * job->head_width + place;
      UNROLL for (size_t v = 0; v < BLOCK_VECTORS; v++) store(part + v * LANES, sum[r * BLOCK_VECTORS + v] / sums[r]);
      __builtin_memcpy(y, part, count * sizeof *part);
    }
  }
}

#define TILE_CASE(count)                                  \
  case count:                                             \
    if (is_output) NAME(tile_outputs)(tile, count, sums, lifts); \
    else NAME(tile_scores)(tile, count);                  \
    break;

INLINE void NAME(tile_of_rows)(const NAME(attention_tile) *tile, bool is_output, const float *sums, const float *lifts) {
  switch (tile->rows) {
    TILE_CASE(1) TILE_CASE(2) TILE_CASE(3) TILE_CASE(4)
#if LANES >= 8
    TILE_CASE(5) TILE_CASE(6)
#endif
#if LANES == 16
    TILE_CASE(7) TILE_CASE(8) TILE_CASE(9) TILE_CASE(10) TILE_CASE(11) TILE_CASE(12)
#endif
    default: break;
  }
}
#undef TILE_CASE

#include "attention_blocks.h"

// Units are runs of MEANDER_ATTENTION_ROWS queries of one key head, one key head after the other.
// scratch: MEANDER_ATTENTION_ROWS × (columns + rows.first + 2 · head_width), where columns are rows.first and the panels of
// the longest row.
static void NAME(attention_in_rows)(const meander_attention *job, size_t first_unit, size_t end_unit, float *scratch) {
  const size_t group = job->heads / job->key_heads, rows = job->tokens * group;
  const size_t units = (rows + MEANDER_ATTENTION_ROWS - 1) / MEANDER_ATTENTION_ROWS;
  for (size_t unit = first_unit; unit < end_unit; unit++) {
    size_t row = unit % units * MEANDER_ATTENTION_ROWS;
    const size_t end = rows - row < MEANDER_ATTENTION_ROWS ? rows : row + MEANDER_ATTENTION_ROWS;
    while (row < end) {
      NAME(attention_tile) tile = {.job = job, .key_head = unit / units, .first_row = row};
      tile.rows = end - row < ATTENTION_TILE ? end - row : ATTENTION_TILE;
      const int64_t oldest = job->position + (int64_t)(row / group);
      const int64_t newest = job->position + (int64_t)((row + tile.rows - 1) / group);
      int64_t low = oldest - job->rows.window + 1;
      if (low < job->rows.globals) low = job->rows.globals;
      if (low > newest) low = newest;
      tile.first_panel = low / MEANDER_BLOCK;
      tile.panels = (size_t)(newest / MEANDER_BLOCK - tile.first_panel + 1);
      tile.stride = job->rows.first + tile.panels * MEANDER_BLOCK;
      tile.queries = scratch;
      tile.far_queries = tile.queries + MEANDER_ATTENTION_ROWS * job->head_width;
      tile.scores = tile.far_queries + MEANDER_ATTENTION_ROWS * job->head_width;
      tile.far = tile.scores + tile.rows * tile.stride;
      meander_attention_row seen = job->rows;
      seen.base = tile.first_panel * MEANDER_BLOCK;
      seen.count = tile.panels * MEANDER_BLOCK;
      NAME(tile_of_rows)(&tile, false, 0, 0);
      float sums[ATTENTION_TILE], lifts[ATTENTION_TILE] = {0};
      for (size_t r = 0; r < tile.rows; r++) {
        const size_t token = NAME(tile_token)(&tile, r), head = NAME(tile_head)(&tile, r);
        float largest, floor = job->prefix ? 0 : -__builtin_inff();
        sums[r] = NAME(attention_weights)(
            &seen, head, job->position + (int64_t)token, tile.scores + r * tile.stride, floor, &largest);
        if (!job->prefix) continue;
        float part[LANES];
        store(part, exp_(splat(-largest)));
        lifts[r] = part[0];
        sums[r] = __builtin_fmaf(lifts[r], job->prefix_weight[token * job->prefix_weight_stride + head], sums[r]);
      }
      NAME(tile_of_rows)(&tile, true, sums, lifts);
      row += tile.rows;
    }
  }
}

// Softmax goes block by block; what takes softplus in its place sharpens weights by their sum, and needs whole rows.
static void NAME(attention)(const meander_attention *job, size_t first_unit, size_t end_unit, float *scratch) {
  if (job->rows.softplus) NAME(attention_in_rows)(job, first_unit, end_unit, scratch);
  else NAME(attention_in_blocks)(job, first_unit, end_unit, scratch);
}
#undef ATTENTION_TILE
#undef ATTENTION_PANELS
