// The way back through the chunked scan, chunk by chunk from the last; the equations stand in ChunkScan.swift.

// What one head's chunk adds to the gradients of its group's scores and of its decays.
typedef struct {
  const meander_chunk_scan_backward *job;
  const float *dy;
  float *dstate;
  const float *state;
  // dS of the group, q × q in rows of 64.
  float *dscores;
  double dsums[64];
} NAME(chunk_gradient);

// dM = dY·Zᵀ; dZ = Mᵀ·dY into u; dS += dM ∘ L; what M gives to the sums of the decays.
INLINE void NAME(inside_backward)(NAME(chunk) *at, NAME(chunk_gradient) *to) {
  const size_t width = at->job->head_width, q = at->q, stride = to->job->dy_stride;
  float *dmask = at->decays + 64 * at->job->chunk;
  if (q % MEANDER_BLOCK) __builtin_memset(dmask, 0, q * 64 * sizeof *dmask);
  NAME(times)(q, q, width, to->dy, stride, 1, at->z, 1, width, dmask, 64, false);
  NAME(times)(q, width, q, at->mask, 1, 64, to->dy, stride, 1, at->u, width, false);
  float columns[64] = {0};
  for (size_t t = 0; t < q; t++) {
    vec row = 0;
    // A token's own place depends on no decay; left in, it would cancel only to rounding.
    at->mask[t * 64 + t] = 0;
    for (size_t j = 0; j <= t; j += LANES) {
      vec d = load(dmask + t * 64 + j), l = load(at->decays + t * 64 + j);
      float *score = to->dscores + t * 64 + j;
      // Beyond the diagonal L is zero; dM there may be anything, and is finite.
      store(score, fma_(d, l, load(score)));
      vec moved = d * load(at->mask + t * 64 + j);
      row += moved;
      store(columns + j, load(columns + j) + moved);
    }
    for (size_t k = 0; k < LANES; k++) to->dsums[t] += row[k];
  }
  for (size_t j = 0; j < q; j++) to->dsums[j] -= columns[j];
}

// What the state after the chunk gives to Z (into u), to B, and to the sums.
INLINE void NAME(written_backward)(NAME(chunk) *at, NAME(chunk_gradient) *to) {
  const meander_chunk_scan *job = at->job;
  const size_t width = job->head_width, size = job->state_size, q = at->q;
  float *db = to->job->db + at->token * to->job->db_stride + at->group * size;
  NAME(times)(q, width, size, at->b, job->b_stride, 1, to->dstate, width, 1, at->v, width, false);
  double total = 0;
  for (size_t j = 0; j < q; j++) {
    const float kept = at->kept_to_end[j];
    double moved = kept * NAME(dot)(at->v + j * width, at->z + j * width, width);
    NAME(accumulate_scaled)(at->v + j * width, kept, at->u + j * width, width);
    to->dsums[j] -= moved;
    total += moved;
  }
  to->dsums[q - 1] += total;
  NAME(times)(q, size, width, at->z, width, 1, to->dstate, 1, width, at->v, size, false);
  for (size_t j = 0; j < q; j++)
    NAME(accumulate_scaled)(at->v + j * size, at->kept_to_end[j], db + j * to->job->db_stride, size);
}

// What the outputs give to C and to the sums through the state before the chunk, and the gradient of that state.
INLINE void NAME(read_backward)(NAME(chunk) *at, NAME(chunk_gradient) *to) {
  const meander_chunk_scan *job = at->job;
  const size_t width = job->head_width, size = job->state_size, q = at->q;
  const float scale = (float)meander_exp(at->pending), last = at->kept_from_start[q - 1];
  float *dc = to->job->dc + at->token * to->job->dc_stride + at->group * size;
  NAME(times)(q, size, width, to->dy, to->job->dy_stride, 1, to->state, 1, width, at->v, size, false);
  for (size_t t = 0; t < q; t++) {
    const float kept = at->kept_from_start[t] * scale;
    to->dsums[t] += kept * NAME(dot)(at->v + t * size, at->c + t * job->c_stride, size);
    NAME(accumulate_scaled)(at->v + t * size, kept, dc + t * to->job->dc_stride, size);
  }
  to->dsums[q - 1] += last * scale * NAME(dot)(to->dstate, to->state, size * width);
  NAME(scaled)(to->dstate, last, to->dstate, size * width);
  for (size_t t = 0; t < q; t++)
    NAME(scaled)(to->dy + t * to->job->dy_stride, at->kept_from_start[t], at->v + t * width, width);
  NAME(times)(size, width, q, at->c, 1, job->c_stride, at->v, width, 1, to->dstate, width, true);
}

// dx and what the steps get, from dZ in u; the sums' gradients become the decays'.
INLINE void NAME(inputs_backward)(NAME(chunk) *at, NAME(chunk_gradient) *to) {
  const meander_chunk_scan *job = at->job;
  const size_t width = job->head_width, heads = job->heads, q = at->q;
  const float *step = NAME(steps_of)(at);
  const float insertion = job->insertion[at->head], skip = job->skip[at->head];
  const size_t place = at->token * heads + at->head;
  double sum = 0;
  for (size_t t = q; t-- > 0;) {
    const float *x = at->x + t * job->x_stride, *dy = to->dy + t * to->job->dy_stride;
    float *dx = to->job->dx + (at->token + t) * to->job->dx_stride + at->head * width;
    sum += to->dsums[t];
    to->job->ddecay[place + t * heads] = (float)sum;
    to->job->dinsertion[place + t * heads] = NAME(dot)(at->u + t * width, x, width);
    NAME(accumulate_scaled)(at->u + t * width, insertion * step[t * heads], dx, width);
    NAME(accumulate_scaled)(dy, skip, dx, width);
    if (to->job->dskip) to->job->dskip[at->head] += NAME(dot)(dy, x, width);
  }
}

// One group's chunk from `token` on.
static void NAME(group_backward)(const meander_chunk_scan_backward *backward, size_t group, size_t token) {
  const meander_chunk_scan *job = &backward->forward;
  const size_t size = job->state_size, block = size * job->head_width, shared = job->heads / job->groups;
  const size_t q = job->tokens - token < job->chunk ? job->tokens - token : job->chunk, index = token / job->chunk;
  float *scores = job->scratch;
  float gradients[64 * 64];
  __builtin_memset(gradients, 0, sizeof gradients);
  NAME(chunk_scores)(job, group, token, q, scores);
  for (size_t head = group * shared; head < (group + 1) * shared; head++) {
    NAME(chunk) at = NAME(chunk_at)(job, head, group, token, q);
    at.pending = job->boundary_pending[index * job->heads + head];
    NAME(chunk_gradient) to = {
        .job = backward, .dy = backward->dy + token * backward->dy_stride + head * job->head_width,
        .dstate = backward->dstate + head * block, .state = job->boundaries + (index * job->heads + head) * block,
        .dscores = gradients};
    NAME(prepare)(&at, scores);
    // Every token's decay is a part of the total.
    if (backward->dtotal) to.dsums[q - 1] += backward->dtotal[head];
    NAME(inside_backward)(&at, &to);
    NAME(written_backward)(&at, &to);
    NAME(read_backward)(&at, &to);
    NAME(inputs_backward)(&at, &to);
  }
  NAME(times)(
      q, size, q, gradients, 64, 1, job->b + token * job->b_stride + group * size, job->b_stride, 1,
      backward->dc + token * backward->dc_stride + group * size, backward->dc_stride, true);
  NAME(times)(
      q, size, q, gradients, 1, 64, job->c + token * job->c_stride + group * size, job->c_stride, 1,
      backward->db + token * backward->db_stride + group * size, backward->db_stride, true);
}

static void NAME(chunk_scan_backward)(const meander_chunk_scan_backward *job) {
  const size_t chunk = job->forward.chunk, chunks = (job->forward.tokens + chunk - 1) / chunk;
  for (size_t index = chunks; index-- > 0;)
    for (size_t group = 0; group < job->forward.groups; group++) NAME(group_backward)(job, group, index * chunk);
}
