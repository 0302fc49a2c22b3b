// Softmax attention block by block of positions (Milakov and Gimelshein 2018; Dao and others 2022): what a query gathered so far
// is relative to its largest score so far, and scaled when a block has a larger one. So scores never leave the first caches, and
// a block of keys and values is fetched once for all queries of a unit.
//
// Blocks begin at multiples of MEANDER_ATTENTION_BLOCK positions, wherever these stand in the cache; a block of which a query sees
// nothing changes nothing. So bits depend neither on how many queries are asked at once, nor on the ring, nor on how many tokens
// are global ones.

// Up to MEANDER_ATTENTION_UNIT queries of one key head, and what they gathered.
typedef struct {
  const meander_attention *job;
  // Every position's column is its own number, behind those of the global tokens; queries are scaled already.
  meander_attention_row seen;
  size_t key_head, first_row, rows, padded;
  // ATTENTION_TILE rows of a block; and as many for global keys that count as if they stood at the ceiling.
  float *scores, *far;
  // Per query: the outputs, 16 partial sums of weights, the largest score, and what the prefix's weight is scaled with.
  float *outputs, *sums, *largest, *lifts;
  // Packed.
  float *queries, *far_queries;
} NAME(attention_unit);

// A block of positions as it lies in the cache, in runs of columns: those of the global tokens from `position` on, and those of
// the ring from `ring_position` on, in two runs where its end is between them. Together they are at most a panel more than
// the block, for the global tokens' last panel and the ring's first one may be of the same positions.
typedef struct {
  int64_t position, ring_position;
  size_t columns;
  // Where a run begins among the key head's slots, and how long it is.
  size_t slots[3], counts[3];
} NAME(attention_block);

INLINE size_t NAME(unit_token)(const NAME(attention_unit) *unit, size_t row) {
  return NAME(row_token)(unit->job, unit->first_row + row);
}
INLINE size_t NAME(unit_head)(const NAME(attention_unit) *unit, size_t row) {
  return NAME(row_head)(unit->job, unit->key_head, unit->first_row + row);
}

INLINE void NAME(run_scores)(const float *q, size_t rows, const float *keys, size_t count, size_t width, float *to) {
  size_t at = 0;
  for (; at + ATTENTION_PANELS * MEANDER_BLOCK <= count; at += ATTENTION_PANELS * MEANDER_BLOCK)
    NAME(score_tile)(q, rows, keys + at * width, ATTENTION_PANELS, width, to + at, MEANDER_ATTENTION_STRIDE);
  if (at < count) NAME(score_tile)(q, rows, keys + at * width, 1, width, to + at, MEANDER_ATTENTION_STRIDE);
}

INLINE void NAME(block_scores)(const NAME(attention_unit) *unit, const NAME(attention_block) *part, size_t row, size_t rows) {
  const meander_attention *job = unit->job;
  const size_t width = job->head_width;
  const float *keys = job->keys + unit->key_head * (job->rows.first + job->ring) * width;
  float *to = unit->scores;
  for (size_t run = 0; run < 3; to += part->counts[run++])
    NAME(run_scores)(unit->queries + row * width, rows, keys + part->slots[run] * width, part->counts[run], width, to);
  if (!job->far_q || part->counts[0] == 0) return;
  // Global tokens beyond the ceiling count as if they stood there.
  const float *far_keys = job->far_keys + (unit->key_head * job->rows.first + part->slots[0]) * width;
  NAME(run_scores)(unit->far_queries + row * width, rows, far_keys, part->counts[0], width, unit->far);
  for (size_t r = 0; r < rows; r++) {
    const int64_t end = job->position + (int64_t)NAME(unit_token)(unit, row + r) - job->rows.ceiling - part->position;
    const size_t place = r * MEANDER_ATTENTION_STRIDE;
    for (int64_t p = 0; p < end && p < (int64_t)part->counts[0]; p++)
      unit->scores[place + (size_t)p] = unit->far[place + (size_t)p];
  }
}

// What a query gathered becomes relative to a larger score.
INLINE void NAME(raise_largest)(const NAME(attention_unit) *unit, size_t row, float top, block *sums) {
  const vec scale = exp_of_negative(splat(unit->largest[row] - top));
  float *outputs = unit->outputs + row * unit->padded;
  for (size_t place = 0; place < unit->padded; place += LANES) store(outputs + place, load(outputs + place) * scale);
  UNROLL for (size_t v = 0; v < BLOCK_VECTORS; v++) sums->v[v] *= scale;
  unit->lifts[row] *= scale[0];
  unit->largest[row] = top;
}

// Scores of one query become weights relative to its largest score.
INLINE void NAME(block_weights)(
    const NAME(attention_unit) *unit, const NAME(attention_block) *part, size_t row, float *scores) {
  const meander_attention_row *job = &unit->seen;
  const int64_t t = unit->job->position + (int64_t)NAME(unit_token)(unit, row);
  const NAME(seen_columns) seen = NAME(columns_seen)(job, t);
  const int64_t firsts = (int64_t)part->counts[0], ring = (int64_t)job->first + part->ring_position;
  const int64_t end = ring + (int64_t)part->columns - firsts;
  vec most = splat(-__builtin_inff());
  if (!job->bias && part->position + firsts <= seen.first_end && seen.from <= ring && end <= seen.to) {
    for (size_t at = 0; at < part->columns; at += LANES) {
      vec value = load(scores + at);
      most = value > most ? value : most;
    }
  } else {
    const float *bias =
        job->bias ? job->bias + NAME(unit_head)(unit, row) * (job->bias_length + 2 * MEANDER_BIAS_MARGIN) : 0;
    for (size_t at = 0; at < part->columns; at += LANES) {
      const int64_t column = (int64_t)at < firsts ? part->position + (int64_t)at : ring + (int64_t)at - firsts;
      vec value = NAME(biased)(job, bias, load(scores + at), column, seen, t, 1, -__builtin_inff());
      store(scores + at, value);
      most = value > most ? value : most;
    }
  }
  float top = unit->largest[row];
  for (size_t i = 0; i < LANES; i++) top = most[i] > top ? most[i] : top;
  block sums;
  __builtin_memcpy(&sums, unit->sums + row * MEANDER_BLOCK, sizeof sums);
  if (top != unit->largest[row]) NAME(raise_largest)(unit, row, top, &sums);
  // Where nothing was seen yet, all scores are -∞.
  const float base = top == -__builtin_inff() ? 0 : top;
  for (size_t at = 0; at < part->columns; at += LANES) {
    vec value = exp_of_negative(load(scores + at) - base);
    store(scores + at, value);
    sums.v[at % MEANDER_BLOCK / LANES] += value;
  }
  __builtin_memcpy(unit->sums + row * MEANDER_BLOCK, &sums, sizeof sums);
}

INLINE void NAME(place_outputs)(
    const NAME(attention_unit) *unit, const NAME(attention_block) *part, size_t row, size_t rows, size_t place, size_t panels) {
  const size_t vectors = panels * BLOCK_VECTORS, padded = unit->padded;
  const float *values = unit->job->values + unit->key_head * (unit->job->rows.first + unit->job->ring) * padded + place;
  const float *weights = unit->scores;
  vec sum[ATTENTION_TILE * ATTENTION_PANELS * BLOCK_VECTORS];
  float *outputs = unit->outputs + row * padded + place;
  UNROLL for (size_t r = 0; r < rows; r++)
    UNROLL for (size_t v = 0; v < vectors; v++) sum[r * vectors + v] = load(outputs + r * padded + v * LANES);
  for (size_t run = 0; run < 3; weights += part->counts[run++])
    NAME(value_tile)(
        weights, MEANDER_ATTENTION_STRIDE, rows, values + part->slots[run] * padded, padded, vectors, part->counts[run], sum);
  UNROLL for (size_t r = 0; r < rows; r++)
    UNROLL for (size_t v = 0; v < vectors; v++) store(outputs + r * padded + v * LANES, sum[r * vectors + v]);
}

INLINE void NAME(block_outputs)(const NAME(attention_unit) *unit, const NAME(attention_block) *part, size_t row, size_t rows) {
  size_t place = 0;
  for (; place + ATTENTION_PANELS * MEANDER_BLOCK <= unit->padded; place += ATTENTION_PANELS * MEANDER_BLOCK)
    NAME(place_outputs)(unit, part, row, rows, place, ATTENTION_PANELS);
  if (place < unit->padded) NAME(place_outputs)(unit, part, row, rows, place, 1);
}

#define BLOCK_CASE(count)                                       \
  case count:                                                   \
    if (is_output) NAME(block_outputs)(unit, part, row, count); \
    else NAME(block_scores)(unit, part, row, count);            \
    break;

INLINE void NAME(block_of_rows)(
    const NAME(attention_unit) *unit, const NAME(attention_block) *part, size_t row, size_t rows, bool is_output) {
  switch (rows) {
    BLOCK_CASE(1) BLOCK_CASE(2) BLOCK_CASE(3) BLOCK_CASE(4)
#if LANES >= 8
    BLOCK_CASE(5) BLOCK_CASE(6)
#endif
#if LANES == 16
    BLOCK_CASE(7) BLOCK_CASE(8) BLOCK_CASE(9) BLOCK_CASE(10) BLOCK_CASE(11) BLOCK_CASE(12)
#endif
    default: break;
  }
}
#undef BLOCK_CASE

// One block, for all queries of a unit that see anything of it.
static void NAME(attend_block)(const NAME(attention_unit) *unit, const NAME(attention_block) *part) {
  for (size_t row = 0; row < unit->rows; row += ATTENTION_TILE) {
    const size_t rows = unit->rows - row < ATTENTION_TILE ? unit->rows - row : ATTENTION_TILE;
    const int64_t oldest = unit->job->position + (int64_t)NAME(unit_token)(unit, row);
    const int64_t newest = unit->job->position + (int64_t)NAME(unit_token)(unit, row + rows - 1);
    if (part->position > newest) continue;
    if (part->counts[0] == 0 && part->ring_position + (int64_t)part->columns <= oldest - unit->seen.window + 1) continue;
    NAME(block_of_rows)(unit, part, row, rows, false);
    for (size_t r = 0; r < rows; r++)
      NAME(block_weights)(unit, part, row + r, unit->scores + r * MEANDER_ATTENTION_STRIDE);
    NAME(block_of_rows)(unit, part, row, rows, true);
  }
}

// Nothing is gathered yet but what a prefix adds.
INLINE void NAME(begin_unit)(const NAME(attention_unit) *unit) {
  const meander_attention *job = unit->job;
  const size_t width = job->head_width;
  for (size_t r = 0; r < unit->rows; r++) {
    const size_t token = NAME(unit_token)(unit, r), place = NAME(unit_head)(unit, r) * width;
    NAME(pack_query)(job->q + token * job->q_stride + place, width, job->rows.scale, r, unit->queries);
    if (job->far_q)
      NAME(pack_query)(job->far_q + token * job->far_stride + place, width, job->rows.scale, r, unit->far_queries);
    float *outputs = unit->outputs + r * unit->padded;
    __builtin_memset(outputs, 0, unit->padded * sizeof *outputs);
    __builtin_memset(unit->sums + r * MEANDER_BLOCK, 0, MEANDER_BLOCK * sizeof *unit->sums);
    unit->largest[r] = job->prefix ? 0 : -__builtin_inff();
    unit->lifts[r] = 1;
    if (job->prefix)
      __builtin_memcpy(outputs, job->prefix + token * job->prefix_stride + place, width * sizeof *outputs);
  }
}

INLINE void NAME(end_unit)(const NAME(attention_unit) *unit) {
  const meander_attention *job = unit->job;
  for (size_t r = 0; r < unit->rows; r++) {
    const size_t token = NAME(unit_token)(unit, r), head = NAME(unit_head)(unit, r);
    block sums;
    __builtin_memcpy(&sums, unit->sums + r * MEANDER_BLOCK, sizeof sums);
    float total = sum_of(sums), *outputs = unit->outputs + r * unit->padded;
    if (job->prefix)
      total = __builtin_fmaf(unit->lifts[r], job->prefix_weight[token * job->prefix_weight_stride + head], total);
    for (size_t place = 0; place < unit->padded; place += LANES) store(outputs + place, load(outputs + place) / total);
    __builtin_memcpy(job->y + token * job->y_stride + head * job->head_width, outputs, job->head_width * sizeof *outputs);
  }
}

// The block from `at` on, as far as positions from `low` to `newest` or global tokens are in it.
static NAME(attention_block) NAME(block_from)(const meander_attention *job, int64_t at, int64_t low, int64_t newest) {
  NAME(attention_block) part = {.position = at};
  int64_t end = at + MEANDER_ATTENTION_BLOCK;
  if (at < (int64_t)job->rows.first) {
    part.slots[0] = (size_t)at;
    part.counts[0] = (size_t)((end < (int64_t)job->rows.first ? end : (int64_t)job->rows.first) - at);
  }
  // Whole panels of 16.
  if (end > newest) end = (newest / MEANDER_BLOCK + 1) * MEANDER_BLOCK;
  part.ring_position = (low > at ? low : at) / MEANDER_BLOCK * MEANDER_BLOCK;
  if (part.ring_position < end) {
    const size_t count = (size_t)(end - part.ring_position), slot = (size_t)(part.ring_position % (int64_t)job->ring);
    const size_t left = job->ring - slot;
    part.counts[1] = count < left ? count : left;
    part.counts[2] = count - part.counts[1];
    part.slots[1] = job->rows.first + slot, part.slots[2] = job->rows.first;
  }
  part.columns = part.counts[0] + part.counts[1] + part.counts[2];
  return part;
}

static void NAME(attend_unit)(const NAME(attention_unit) *unit) {
  const meander_attention *job = unit->job;
  const int64_t oldest = job->position + (int64_t)NAME(unit_token)(unit, 0);
  const int64_t newest = job->position + (int64_t)NAME(unit_token)(unit, unit->rows - 1);
  int64_t low = oldest - job->rows.window + 1;
  if (low < job->rows.globals) low = job->rows.globals;
  NAME(begin_unit)(unit);
  for (int64_t at = 0; at <= newest; at += MEANDER_ATTENTION_BLOCK) {
    // Past the global tokens nothing is seen before the window.
    const int64_t next = low / MEANDER_ATTENTION_BLOCK * MEANDER_ATTENTION_BLOCK;
    if (at >= (int64_t)job->rows.first && at < next) at = next;
    if (at > newest) break;
    const NAME(attention_block) part = NAME(block_from)(job, at, low, newest);
    NAME(attend_block)(unit, &part);
  }
  NAME(end_unit)(unit);
}

// Units are runs of MEANDER_ATTENTION_UNIT queries of one key head, one key head after the other. scratch: two times
// MEANDER_ATTENTION_ROWS × MEANDER_ATTENTION_STRIDE, and for each query of a unit 2 · head_width + that, rounded up to 16, + 18.
static void NAME(attention_in_blocks)(const meander_attention *job, size_t first_unit, size_t end_unit, float *scratch) {
  const size_t rows = job->tokens * (job->heads / job->key_heads);
  const size_t units = (rows + MEANDER_ATTENTION_UNIT - 1) / MEANDER_ATTENTION_UNIT;
  for (size_t index = first_unit; index < end_unit; index++) {
    NAME(attention_unit) unit = {.job = job, .seen = job->rows, .key_head = index / units};
    unit.first_row = index % units * MEANDER_ATTENTION_UNIT;
    unit.rows = rows - unit.first_row < MEANDER_ATTENTION_UNIT ? rows - unit.first_row : MEANDER_ATTENTION_UNIT;
    unit.padded = (job->head_width + MEANDER_BLOCK - 1) / MEANDER_BLOCK * MEANDER_BLOCK;
    unit.seen.base = 0;
    unit.seen.count = (size_t)job->position + job->tokens;
    unit.scores = scratch;
    unit.far = unit.scores + MEANDER_ATTENTION_ROWS * MEANDER_ATTENTION_STRIDE;
    unit.outputs = unit.far + MEANDER_ATTENTION_ROWS * MEANDER_ATTENTION_STRIDE;
    unit.sums = unit.outputs + MEANDER_ATTENTION_UNIT * unit.padded;
    unit.largest = unit.sums + MEANDER_ATTENTION_UNIT * MEANDER_BLOCK;
    unit.lifts = unit.largest + MEANDER_ATTENTION_UNIT;
    unit.queries = unit.lifts + MEANDER_ATTENTION_UNIT;
    unit.far_queries = unit.queries + MEANDER_ATTENTION_UNIT * job->head_width;
    NAME(attend_unit)(&unit);
  }
}
