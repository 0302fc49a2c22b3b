// The linear recurrence over heads. Gates: lanes are keys; scan: lanes are places of a head's width.

typedef struct {
  vec factor, grow, shrink, before;
} NAME(linear_lanes);

INLINE NAME(linear_lanes) NAME(linear_decay)(vecd *pending, vecd decay, bool reads_before) {
  vecd sum = *pending + decay, e = exp_double(sum);
  longs folds = sum < FOLD_BELOW;
  NAME(linear_lanes) lanes;
  vec factor = __builtin_convertvector(folds ? e : (vecd)1, vec);
  lanes.factor = factor < SMALLEST_NORMAL ? splat(0) : factor;
  lanes.grow = __builtin_convertvector(folds ? (vecd)1 : 1.0 / e, vec);
  lanes.shrink = __builtin_convertvector(folds ? (vecd)1 : e, vec);
  lanes.before = reads_before ? __builtin_convertvector(exp_double(*pending), vec) : splat(0);
  *pending = folds ? (vecd)0 : sum;
  return lanes;
}

INLINE void NAME(linear_put)(float *to, const float *from, vec scale, size_t count) {
  store_part(to, scale * load_part(from, count), count);
}

INLINE void NAME(linear_keys)(
    const meander_linear_gates *job, size_t token, size_t head, size_t n, size_t count, NAME(linear_lanes) lanes) {
  const size_t size = job->state_size, rank = job->rank, group = head / (job->heads / job->groups), from = group * size + n;
  const size_t slices = group * rank * size + n, skipped = job->tokens - job->outputs;
  const size_t at = (token * job->heads + head) * size + n, slice = (token * job->heads + head) * rank * size + n;
  store_part(job->factors + at, lanes.factor, count);
  for (size_t r = 0; r < rank * size; r += size)
    NAME(linear_put)(job->key + slice + r, job->k + token * job->k_stride + slices + r, lanes.grow, count);
  if (job->removal) {
    vec scale = lanes.shrink * lanes.factor;
    NAME(linear_put)(job->removed + at, job->removal + token * job->removal_stride + from, scale, count);
    vec own = job->replacement ? load_part(job->replacement + token * job->replacement_stride + from, count)
                               : job->strength[token * job->strength_stride + group]
                                     * load_part(job->k + token * job->k_stride + from, count);
    store_part(job->replaced + at, lanes.grow * own, count);
  }
  if (token < skipped) return;
  vec scale = job->reads_before ? lanes.before : lanes.shrink;
  for (size_t r = 0; r < rank * size; r += size)
    NAME(linear_put)(
        job->read + (slice + r - skipped * job->heads * rank * size), job->q + (token - skipped) * job->q_stride + slices + r,
        scale, count);
}

// A head whose keys share one decay.
INLINE void NAME(linear_shared)(const meander_linear_gates *job, size_t token, size_t head) {
  double decay = job->decay[token * job->decay_stride + head];
  vecd pending = job->pending[head];
  job->total[head] += decay;
  NAME(linear_lanes) lanes = NAME(linear_decay)(&pending, (vecd)decay, job->reads_before);
  job->pending[head] = pending[0];
  for (size_t n = 0; n < job->state_size; n += LANES) {
    size_t count = job->state_size - n < LANES ? job->state_size - n : LANES;
    NAME(linear_keys)(job, token, head, n, count, lanes);
  }
}

INLINE void NAME(linear_apart)(const meander_linear_gates *job, size_t token, size_t head) {
  for (size_t n = 0; n < job->state_size; n += LANES) {
    size_t count = job->state_size - n < LANES ? job->state_size - n : LANES, at = head * job->state_size + n;
    vecd pending = 0, total = 0;
    __builtin_memcpy(&pending, job->pending + at, count * sizeof(double));
    __builtin_memcpy(&total, job->total + at, count * sizeof(double));
    vecd decay = __builtin_convertvector(load_part(job->decay + token * job->decay_stride + at, count), vecd);
    NAME(linear_lanes) lanes = NAME(linear_decay)(&pending, decay, job->reads_before);
    total += decay;
    __builtin_memcpy(job->pending + at, &pending, count * sizeof(double));
    __builtin_memcpy(job->total + at, &total, count * sizeof(double));
    NAME(linear_keys)(job, token, head, n, count, lanes);
  }
}

static void NAME(linear_gates)(const meander_linear_gates *job, size_t first_head, size_t end_head) {
  for (size_t head = first_head; head < end_head; head++)
    for (size_t token = 0; token < job->tokens; token++) {
      if (job->decays == 1) NAME(linear_shared)(job, token, head);
      else NAME(linear_apart)(job, token, head);
    }
}

typedef struct {
  size_t head, first_p, count;
} NAME(linear_place);

// Tokens [first, end), all with or all without output, over `vectors` vectors, or over the part of one.
INLINE void NAME(linear_tokens)(
    const meander_linear_scan *job, NAME(linear_place) place, size_t first, size_t end, const size_t vectors,
    const bool removes, const bool before, const bool has_output) {
  const size_t size = job->state_size, width = job->head_width, skipped = job->tokens - job->outputs;
  const size_t column = place.head * width + place.first_p;
  const bool whole = place.count == vectors * LANES;
  float *state = job->state + place.head * size * width + place.first_p;
  for (size_t token = first; token < end; token++) {
    const size_t at = (token * job->heads + place.head) * size;
    const float *f = job->factors + at, *key = job->key + at;
    const float *read = has_output ? job->read + at - skipped * job->heads * size : 0;
    const float *removed = removes ? job->removed + at : 0, *replaced = removes ? job->replaced + at : 0;
    vec v[4], d[4], y[4];
    UNROLL for (size_t w = 0; w < vectors; w++) {
      const float *from = job->v + token * job->v_stride + column + w * LANES;
      v[w] = whole ? load(from) : load_part(from, place.count);
      d[w] = y[w] = splat(0);
    }
    if (removes)
      for (size_t n = 0; n < size; n++)
        UNROLL for (size_t w = 0; w < vectors; w++) {
          const float *g = state + n * width + w * LANES;
          d[w] = fma_(splat(removed[n]), whole ? load(g) : load_part(g, place.count), d[w]);
        }
    for (size_t n = 0; n < size; n++)
      UNROLL for (size_t w = 0; w < vectors; w++) {
        float *to = state + n * width + w * LANES;
        vec g = whole ? load(to) : load_part(to, place.count);
        if (has_output && before) y[w] = fma_(splat(read[n]), g, y[w]);
        g = fma_(splat(key[n]), v[w], f[n] * g);
        if (removes) g = fma_(splat(replaced[n]), d[w], g);
        if (has_output && !before) y[w] = fma_(splat(read[n]), g, y[w]);
        if (whole) store(to, g); else store_part(to, g, place.count);
      }
    if (has_output)
      UNROLL for (size_t w = 0; w < vectors; w++) {
        float *to = job->y + (token - skipped) * job->y_stride + column + w * LANES;
        if (whole) store(to, y[w]); else store_part(to, y[w], place.count);
      }
  }
}

// y of one of a token's slices, of the state as it is.
INLINE void NAME(linear_read)(
    const meander_linear_scan *job, NAME(linear_place) place, size_t out, size_t r, const float *state, const size_t vectors) {
  const size_t slice = (out * job->heads + place.head) * job->rank + r, size = job->state_size;
  const bool whole = place.count == vectors * LANES;
  const float *read = job->read + slice * size;
  float *to = job->y + out * job->y_stride + (place.head * job->rank + r) * job->head_width + place.first_p;
  vec y[4];
  UNROLL for (size_t w = 0; w < vectors; w++) y[w] = splat(0);
  for (size_t n = 0; n < size; n++, state += job->head_width)
    UNROLL for (size_t w = 0; w < vectors; w++)
      y[w] = fma_(splat(read[n]), whole ? load(state + w * LANES) : load_part(state, place.count), y[w]);
  UNROLL for (size_t w = 0; w < vectors; w++)
    if (whole) store(to + w * LANES, y[w]); else store_part(to, y[w], place.count);
}

// All tokens, each written and read in several slices, and nothing removed.
INLINE void NAME(linear_ranked)(const meander_linear_scan *job, NAME(linear_place) place, const size_t vectors) {
  const size_t size = job->state_size, width = job->head_width, rank = job->rank, skipped = job->tokens - job->outputs;
  const bool whole = place.count == vectors * LANES;
  float *state = job->state + place.head * size * width + place.first_p;
  for (size_t token = 0; token < job->tokens; token++) {
    const size_t at = (token * job->heads + place.head) * size;
    const float *key = job->key + at * rank;
    const float *v = job->v + token * job->v_stride + place.head * rank * width + place.first_p;
    const size_t reads = token < skipped ? 0 : rank;
    for (size_t r = 0; job->reads_before && r < reads; r++)
      NAME(linear_read)(job, place, token - skipped, r, state, vectors);
    for (size_t n = 0; n < size; n++)
      UNROLL for (size_t w = 0; w < vectors; w++) {
        float *to = state + n * width + w * LANES;
        vec g = job->factors[at + n] * (whole ? load(to) : load_part(to, place.count));
        for (size_t r = 0; r < rank; r++) {
          const float *from = v + r * width + w * LANES;
          g = fma_(splat(key[r * size + n]), whole ? load(from) : load_part(from, place.count), g);
        }
        if (whole) store(to, g); else store_part(to, g, place.count);
      }
    for (size_t r = 0; !job->reads_before && r < reads; r++)
      NAME(linear_read)(job, place, token - skipped, r, state, vectors);
  }
}

INLINE void NAME(linear_run)(const meander_linear_scan *job, NAME(linear_place) place, const size_t vectors) {
  const size_t silent = job->tokens - job->outputs, end = job->tokens;
  if (job->rank > 1) {
    NAME(linear_ranked)(job, place, vectors);
  } else if (job->removed) {
    NAME(linear_tokens)(job, place, 0, silent, vectors, true, false, false);
    if (job->reads_before) NAME(linear_tokens)(job, place, silent, end, vectors, true, true, true);
    else NAME(linear_tokens)(job, place, silent, end, vectors, true, false, true);
  } else {
    NAME(linear_tokens)(job, place, 0, silent, vectors, false, false, false);
    if (job->reads_before) NAME(linear_tokens)(job, place, silent, end, vectors, false, true, true);
    else NAME(linear_tokens)(job, place, silent, end, vectors, false, false, true);
  }
}

// A part is a block of one head's width.
static void NAME(linear_scan)(const meander_linear_scan *job, size_t first_block, size_t end_block) {
  const size_t blocks = (job->head_width + MEANDER_LINEAR_BLOCK - 1) / MEANDER_LINEAR_BLOCK;
  for (size_t index = first_block; index < end_block; index++) {
    size_t p = index % blocks * MEANDER_LINEAR_BLOCK, end = p + MEANDER_LINEAR_BLOCK;
    if (end > job->head_width) end = job->head_width;
    const size_t head = index / blocks;
    for (; p + 4 * LANES <= end; p += 4 * LANES)
      NAME(linear_run)(job, (NAME(linear_place)){head, p, 4 * LANES}, 4);
    for (; p + 2 * LANES <= end; p += 2 * LANES)
      NAME(linear_run)(job, (NAME(linear_place)){head, p, 2 * LANES}, 2);
    for (; p < end; p += LANES)
      NAME(linear_run)(job, (NAME(linear_place)){head, p, end - p < LANES ? end - p : LANES}, 1);
  }
}
