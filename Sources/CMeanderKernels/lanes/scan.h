// The selective scan. Lanes are places p of a head's width; a tile of tokens passes over the state between one load and
// one store of it, each element seeing the same operations in the same order as token by token.

#if LANES == 16
#define TILE_TOKENS 4
#else
#define TILE_TOKENS 3
#endif
// Tokens that pass over one block of a head before the next block's turn: their B and C stay in L2.
#define TOKEN_BLOCK 64

// What a tile reads, beside its job: one head's place and the group's columns.
typedef struct {
  size_t head, first_p, token;
  const float *b, *c;
  float *state;
} NAME(scan_place);

INLINE void NAME(scan_tile)(
    const meander_scan *job, NAME(scan_place) at, size_t tokens, size_t vectors, bool has_output, bool folds) {
  vec u[TILE_TOKENS][BLOCK_VECTORS], y[TILE_TOKENS][BLOCK_VECTORS], f[TILE_TOKENS];
  const size_t width = job->head_width, column = at.head * width + at.first_p;
  const float *gates = job->gates + at.token * job->gates_stride + at.head;
  UNROLL for (size_t t = 0; t < tokens; t++) {
    f[t] = splat(gates[t * job->gates_stride]);
    float insertion = gates[t * job->gates_stride + job->heads];
    UNROLL for (size_t v = 0; v < vectors; v++) {
      u[t][v] = load(job->x + (at.token + t) * job->x_stride + column + v * LANES) * insertion;
      y[t][v] = splat(0);
    }
  }
  float *state = at.state;
  for (size_t n = 0; n < job->state_size; n++, state += width) {
    vec g[BLOCK_VECTORS];
    UNROLL for (size_t v = 0; v < vectors; v++) g[v] = load(state + v * LANES);
    UNROLL for (size_t t = 0; t < tokens; t++) {
      vec b = splat(at.b[t * job->b_stride + n]);
      UNROLL for (size_t v = 0; v < vectors; v++) g[v] = fma_(b, u[t][v], folds ? f[t] * g[v] : g[v]);
      if (!has_output) continue;
      vec c = splat(at.c[t * job->c_stride + n]);
      UNROLL for (size_t v = 0; v < vectors; v++) y[t][v] = fma_(c, g[v], y[t][v]);
    }
    UNROLL for (size_t v = 0; v < vectors; v++) store(state + v * LANES, g[v]);
  }
  if (!has_output) return;
  const float *skip = job->skip + (job->skip_per_channel ? column : at.head);
  UNROLL for (size_t t = 0; t < tokens; t++) {
    float *out = job->y + (at.token + t - (job->tokens - job->outputs)) * job->y_stride + column;
    float e = gates[t * job->gates_stride + 2 * job->heads];
    UNROLL for (size_t v = 0; v < vectors; v++) {
      vec x = load(job->x + (at.token + t) * job->x_stride + column + v * LANES);
      vec d = job->skip_per_channel ? load(skip + v * LANES) : splat(*skip);
      store(out + v * LANES, fma_(d, x, y[t][v] * e));
    }
  }
}

// One place of one token: what is left of a head's width when whole vectors are done.
INLINE void NAME(scan_place_alone)(const meander_scan *job, NAME(scan_place) at, bool has_output) {
  const size_t column = at.head * job->head_width + at.first_p;
  const float *gates = job->gates + at.token * job->gates_stride + at.head;
  float x = job->x[at.token * job->x_stride + column], u = x * gates[job->heads], f = gates[0], y = 0;
  float *state = at.state;
  for (size_t n = 0; n < job->state_size; n++, state += job->head_width) {
    *state = __builtin_fmaf(at.b[n], u, f * *state);
    if (has_output) y = __builtin_fmaf(at.c[n], *state, y);
  }
  if (!has_output) return;
  float d = job->skip[job->skip_per_channel ? column : at.head];
  float *out = job->y + (at.token - (job->tokens - job->outputs)) * job->y_stride + column;
  *out = __builtin_fmaf(d, x, y * gates[2 * job->heads]);
}

INLINE void NAME(scan_tokens)(
    const meander_scan *job, NAME(scan_place) at, size_t tokens, size_t vectors, bool has_output) {
  const float *gates = job->gates + at.token * job->gates_stride + at.head;
  bool folds = false;
  for (size_t t = 0; t < tokens; t++) folds |= gates[t * job->gates_stride] != 1.0f;
  if (has_output) {
    if (folds) NAME(scan_tile)(job, at, tokens, vectors, true, true);
    else NAME(scan_tile)(job, at, tokens, vectors, true, false);
  } else {
    if (folds) NAME(scan_tile)(job, at, tokens, vectors, false, true);
    else NAME(scan_tile)(job, at, tokens, vectors, false, false);
  }
}

// Tokens [first, end), all with or all without output, over `count` places from `place.first_p`.
static void NAME(scan_run)(
    const meander_scan *job, NAME(scan_place) at, size_t count, size_t first, size_t end, bool has_output) {
  const size_t group = at.head / (job->heads / job->groups), skipped = job->tokens - job->outputs;
  for (size_t token = first; token < end;) {
    size_t tokens = end - token >= TILE_TOKENS ? TILE_TOKENS : 1, done = 0;
    at.token = token;
    at.b = job->b + token * job->b_stride + group * job->state_size;
    at.c = has_output ? job->c + (token - skipped) * job->c_stride + group * job->state_size : 0;
    if (count == MEANDER_BLOCK) {
      if (tokens == TILE_TOKENS) NAME(scan_tokens)(job, at, TILE_TOKENS, BLOCK_VECTORS, has_output);
      else NAME(scan_tokens)(job, at, 1, BLOCK_VECTORS, has_output);
      done = count;
    } else {
      tokens = 1;
      for (; done + LANES <= count; done += LANES) {
        NAME(scan_place) part = at;
        part.first_p += done;
        part.state += done;
        NAME(scan_tokens)(job, part, 1, 1, has_output);
      }
    }
    for (; done < count; done++) {
      NAME(scan_place) one = at;
      one.first_p += done;
      one.state += done;
      NAME(scan_place_alone)(job, one, has_output);
    }
    token += tokens;
  }
}

// Blocks of 16 places, head by head; a head's last block may be smaller.
static void NAME(scan)(const meander_scan *job, size_t first_block, size_t end_block) {
  const size_t width = job->head_width, blocks = (width + MEANDER_BLOCK - 1) / MEANDER_BLOCK;
  const size_t skipped = job->tokens - job->outputs;
  for (size_t first = 0; first < job->tokens; first += TOKEN_BLOCK) {
    size_t end = job->tokens - first > TOKEN_BLOCK ? first + TOKEN_BLOCK : job->tokens;
    size_t silent = skipped < first ? first : skipped < end ? skipped : end;
    for (size_t index = first_block; index < end_block; index++) {
      size_t head = index / blocks, p = index % blocks * MEANDER_BLOCK;
      size_t count = width - p < MEANDER_BLOCK ? width - p : MEANDER_BLOCK;
      NAME(scan_place) at = {head, p, 0, 0, 0, job->state + head * job->state_size * width + p};
      NAME(scan_run)(job, at, count, first, silent, false);
      NAME(scan_run)(job, at, count, silent, end, true);
    }
  }
}
#undef TILE_TOKENS
#undef TOKEN_BLOCK
