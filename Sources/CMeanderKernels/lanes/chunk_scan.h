// The selective scan in chunks: inside a chunk it is a product of matrices, between chunks the state is handed on
// (Dao and Gu 2024, section 6). Letters as in ChunkScan.swift.

// One head's chunk: q tokens from `token`, and what its matrices are made of.
typedef struct {
  const meander_chunk_scan *job;
  size_t head, group, token, q;
  const float *x, *b, *c;
  // The decays summed from the chunk's first token on; exp(pending) is what the stored state lacks.
  double sums[64];
  double pending;
  // exp(sums[t]) and exp(sums[q - 1] - sums[t]).
  float kept_from_start[64], kept_to_end[64];
  // L ∘ (C·Bᵀ), L, Z = w·x, and two buffers of q rows.
  float *mask, *decays, *z, *u, *v;
} NAME(chunk);

INLINE void NAME(times)(
    size_t rows, size_t columns, size_t inner, const float *a, size_t a_row, size_t a_inner, const float *b, size_t b_inner,
    size_t b_column, float *y, size_t y_stride, bool adding) {
  meander_matrix_product job = {a, a_row, a_inner, b, b_inner, b_column, y, y_stride, rows, columns, inner, adding};
  NAME(matrix_product)(&job);
}

// y = scale·x over `count` numbers.
INLINE void NAME(scaled)(const float *x, float scale, float *y, size_t count) {
  size_t i = 0;
  for (; i + LANES <= count; i += LANES) store(y + i, load(x + i) * scale);
  for (; i < count; i++) y[i] = x[i] * scale;
}

// y += scale·x.
INLINE void NAME(accumulate_scaled)(const float *x, float scale, float *y, size_t count) {
  size_t i = 0;
  for (; i + LANES <= count; i += LANES) store(y + i, fma_(load(x + i), splat(scale), load(y + i)));
  for (; i < count; i++) y[i] = __builtin_fmaf(x[i], scale, y[i]);
}

INLINE float NAME(dot)(const float *x, const float *y, size_t count) {
  vec sum = 0, other = 0;
  size_t i = 0;
  for (; i + 2 * LANES <= count; i += 2 * LANES) {
    sum = fma_(load(x + i), load(y + i), sum);
    other = fma_(load(x + i + LANES), load(y + i + LANES), other);
  }
  for (; i + LANES <= count; i += LANES) sum = fma_(load(x + i), load(y + i), sum);
  sum += other;
  float total = 0;
  for (size_t k = 0; k < LANES; k++) total += sum[k];
  for (; i < count; i++) total = __builtin_fmaf(x[i], y[i], total);
  return total;
}

INLINE const float *NAME(steps_of)(const NAME(chunk) *at) { return at->job->step + at->token * at->job->heads + at->head; }

// S = C·Bᵀ of a group: q × q in rows of 64.
INLINE void NAME(chunk_scores)(const meander_chunk_scan *job, size_t group, size_t token, size_t q, float *scores) {
  const size_t size = job->state_size;
  // Vectors reach past the last column: what they find there must be finite.
  if (q % MEANDER_BLOCK) __builtin_memset(scores, 0, q * 64 * sizeof *scores);
  NAME(times)(
      q, q, size, job->c + token * job->c_stride + group * size, job->c_stride, 1,
      job->b + token * job->b_stride + group * size, 1, job->b_stride, scores, 64, false);
}

// The sums of the decays, Z = w·x, L[t, j] = exp(sums[t] - sums[j]) for j ≤ t, and M = L ∘ S; both zero above.
INLINE void NAME(prepare)(NAME(chunk) *at, const float *scores) {
  const meander_chunk_scan *job = at->job;
  const size_t heads = job->heads, width = job->head_width, q = at->q;
  const double *decay = job->decay + at->token * heads + at->head;
  const float *step = NAME(steps_of)(at);
  const float insertion = job->insertion[at->head];
  double sum = 0;
  for (size_t t = 0; t < q; t++) {
    sum += decay[t * heads];
    at->sums[t] = sum;
    NAME(scaled)(at->x + t * job->x_stride, insertion * step[t * heads], at->z + t * width, width);
  }
  for (size_t t = q; t < 64; t++) at->sums[t] = sum;
  for (size_t t = 0; t < 64; t += LANES) {
    vecd sums = load_double(at->sums + t);
    store(at->kept_from_start + t, exp_(__builtin_convertvector(sums, vec)));
    store(at->kept_to_end + t, exp_(__builtin_convertvector(sum - sums, vec)));
  }
  for (size_t t = 0; t < q; t++) {
    float *decays = at->decays + t * 64, *mask = at->mask + t * 64;
    for (size_t j = 0; j < q; j += LANES) {
      vec l = 0;
      if (j <= t) {
        vec away = __builtin_convertvector(at->sums[t] - load_double(at->sums + j), vec);
        l = exp_(away > 0.0f ? splat(0) : away);
        if (j + LANES > t + 1)
          for (size_t k = 0; k < LANES; k++) l[k] = j + k > t ? 0 : l[k];
      }
      store(decays + j, l);
      store(mask + j, l * load(scores + t * 64 + j));
    }
  }
}

INLINE NAME(chunk) NAME(chunk_at)(const meander_chunk_scan *job, size_t head, size_t group, size_t token, size_t q) {
  size_t wide = job->head_width > job->state_size ? job->head_width : job->state_size;
  wide = (wide + 15) / 16 * 16;
  float *square = job->scratch + 64 * job->chunk, *tall = job->scratch + 4 * 64 * job->chunk;
  NAME(chunk) at = {.job = job, .head = head, .group = group, .token = token, .q = q};
  at.x = job->x + token * job->x_stride + head * job->head_width;
  at.b = job->b + token * job->b_stride + group * job->state_size;
  at.c = job->c + token * job->c_stride + group * job->state_size;
  at.mask = square;
  at.decays = square + 64 * job->chunk;
  at.z = tall;
  at.u = tall + job->chunk * wide;
  at.v = tall + 2 * job->chunk * wide;
  return at;
}

// y = M·Z + exp(sums + pending)·C·g + D·x.
INLINE void NAME(chunk_outputs)(NAME(chunk) *at, const float *state) {
  const meander_chunk_scan *job = at->job;
  const size_t width = job->head_width, size = job->state_size, q = at->q;
  float *y = job->y + at->token * job->y_stride + at->head * width;
  const float skip = job->skip[at->head], scale = (float)meander_exp(at->pending);
  for (size_t t = 0; t < q; t++) {
    NAME(scaled)(at->x + t * job->x_stride, skip, y + t * job->y_stride, width);
    NAME(scaled)(at->c + t * job->c_stride, at->kept_from_start[t] * scale, at->u + t * size, size);
  }
  NAME(times)(q, width, q, at->mask, 64, 1, at->z, width, 1, y, job->y_stride, true);
  NAME(times)(q, width, size, at->u, size, 1, state, width, 1, y, job->y_stride, true);
}

// g takes in Σ_j exp(last - sums[j]) B_j ⊗ Z_j; the decay joins what is pending, or is folded in.
INLINE void NAME(chunk_state)(NAME(chunk) *at, float *state) {
  const meander_chunk_scan *job = at->job;
  const size_t width = job->head_width, size = job->state_size, q = at->q;
  double pending = at->pending + at->sums[q - 1];
  const bool folds = pending < FOLD_BELOW;
  if (folds) {
    NAME(scaled)(state, (float)meander_exp(pending), state, size * width);
    pending = 0;
  }
  const float scale = (float)meander_exp(-pending);
  for (size_t j = 0; j < q; j++) NAME(scaled)(at->z + j * width, at->kept_to_end[j] * scale, at->v + j * width, width);
  NAME(times)(size, width, q, at->b, 1, job->b_stride, at->v, width, 1, state, width, true);
  at->pending = pending;
}

static void NAME(chunk_scan)(const meander_chunk_scan *job) {
  const size_t block = job->state_size * job->head_width, shared = job->heads / job->groups;
  for (size_t token = 0, index = 0; token < job->tokens; token += job->chunk, index++) {
    size_t q = job->tokens - token < job->chunk ? job->tokens - token : job->chunk;
    for (size_t group = 0; group < job->groups; group++) {
      NAME(chunk_scores)(job, group, token, q, job->scratch);
      for (size_t head = group * shared; head < (group + 1) * shared; head++) {
        float *state = job->state + head * block;
        NAME(chunk) at = NAME(chunk_at)(job, head, group, token, q);
        at.pending = job->pending[head];
        if (job->boundaries) {
          __builtin_memcpy(job->boundaries + (index * job->heads + head) * block, state, block * sizeof *state);
          job->boundary_pending[index * job->heads + head] = at.pending;
        }
        NAME(prepare)(&at, job->scratch);
        if (job->y) NAME(chunk_outputs)(&at, state);
        NAME(chunk_state)(&at, state);
        job->pending[head] = at.pending;
      }
    }
  }
}
