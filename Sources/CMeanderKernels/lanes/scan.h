// The selective scan. Lanes are places p of a head's width; a tile of tokens passes over the state between one load
// and one store of it, each element seeing the same operations in the same order as token by token.

// Four tokens divide the cost of loading and storing the state; their outputs and insertions fill the registers.
#define SCAN_TOKENS 4
#define SCAN_WIDTH (LANES == 16 ? 32 : 16)
// Tokens that pass over one block of a head before the next block's turn: their B and C stay in L2.
#define TOKEN_BLOCK 64

// What a tile reads, beside its job: one head's place and the group's columns.
typedef struct {
  size_t head, first_p, token, width, b_stride, c_stride;
  const float *b, *c;
  float *state, *rest;
} NAME(scan_place);

// What a tile keeps in registers: each token's insertion and output at the tile's places.
typedef struct {
  vec u[SCAN_TOKENS][SCAN_WIDTH / LANES], y[SCAN_TOKENS][SCAN_WIDTH / LANES], f[SCAN_TOKENS];
} NAME(scan_sums);

// Row n of a head's state, `b` and `c` pointing at that n of the first token. Where it compensates, what a sum rounds away is
// kept (Knuth's sum of two) and comes in with the next insertion.
INLINE void NAME(scan_row)(
    NAME(scan_sums) *sums, NAME(scan_place) at, size_t tokens, size_t vectors, bool has_output, bool folds, bool compensates) {
  vec g[SCAN_WIDTH / LANES], r[SCAN_WIDTH / LANES];
  UNROLL for (size_t v = 0; v < vectors; v++) {
    g[v] = load(at.state + v * LANES);
    r[v] = compensates ? load(at.rest + v * LANES) : splat(0);
  }
  UNROLL for (size_t t = 0; t < tokens; t++) {
    vec b = splat(at.b[t * at.b_stride]);
    UNROLL for (size_t v = 0; v < vectors; v++) {
      vec before = folds ? sums->f[t] * g[v] : g[v];
      if (compensates) {
        vec low = folds ? sums->f[t] * r[v] : r[v];
        vec change = fma_(b, sums->u[t][v], low), h = before + change, moved = h - before;
        r[v] = (before - (h - moved)) + (change - moved);
        g[v] = h;
      } else {
        g[v] = fma_(b, sums->u[t][v], before);
      }
    }
    if (!has_output) continue;
    vec c = splat(at.c[t * at.c_stride]);
    UNROLL for (size_t v = 0; v < vectors; v++) sums->y[t][v] = fma_(c, g[v], sums->y[t][v]);
  }
  UNROLL for (size_t v = 0; v < vectors; v++) {
    store(at.state + v * LANES, g[v]);
    if (compensates) store(at.rest + v * LANES, r[v]);
  }
}

INLINE void NAME(scan_tile)(
    const meander_scan *job, NAME(scan_place) at, size_t tokens, size_t vectors, bool has_output, bool folds,
    bool compensates) {
  NAME(scan_sums) sums;
  const size_t column = at.head * at.width + at.first_p, size = job->state_size;
  const float *gates = job->gates + at.token * job->gates_stride + at.head;
  UNROLL for (size_t t = 0; t < tokens; t++) {
    sums.f[t] = splat(gates[t * job->gates_stride]);
    float insertion = gates[t * job->gates_stride + job->heads];
    UNROLL for (size_t v = 0; v < vectors; v++) {
      sums.u[t][v] = load(job->x + (at.token + t) * job->x_stride + column + v * LANES) * insertion;
      sums.y[t][v] = splat(0);
    }
  }
  for (size_t n = 0; n < size; n++) {
    NAME(scan_row)(&sums, at, tokens, vectors, has_output, folds, compensates);
    at.state += at.width;
    if (compensates) at.rest += at.width;
    at.b += 1;
    if (has_output) at.c += 1;
  }
  if (!has_output) return;
  const float *skip = job->skip + (job->skip_per_channel ? column : at.head);
  UNROLL for (size_t t = 0; t < tokens; t++) {
    float *out = job->y + (at.token + t - (job->tokens - job->outputs)) * job->y_stride + column;
    float e = gates[t * job->gates_stride + 2 * job->heads];
    UNROLL for (size_t v = 0; v < vectors; v++) {
      vec x = load(job->x + (at.token + t) * job->x_stride + column + v * LANES);
      vec d = job->skip_per_channel ? load(skip + v * LANES) : splat(*skip);
      store(out + v * LANES, fma_(d, x, sums.y[t][v] * e));
    }
  }
}

// One place of one token: what is left of a head's width when whole vectors are done.
INLINE void NAME(scan_place_alone)(const meander_scan *job, NAME(scan_place) at, bool has_output) {
  const size_t column = at.head * job->head_width + at.first_p;
  const float *gates = job->gates + at.token * job->gates_stride + at.head;
  float x = job->x[at.token * job->x_stride + column], u = x * gates[job->heads], f = gates[0], y = 0;
  float *state = at.state, *rest = at.rest;
  for (size_t n = 0; n < job->state_size; n++, state += job->head_width) {
    float before = f * *state;
    if (rest) {
      float low = f * *rest;
      float change = __builtin_fmaf(at.b[n], u, low), h = before + change, moved = h - before;
      *rest = (before - (h - moved)) + (change - moved);
      *state = h;
      rest += job->head_width;
    } else {
      *state = __builtin_fmaf(at.b[n], u, before);
    }
    if (has_output) y = __builtin_fmaf(at.c[n], *state, y);
  }
  if (!has_output) return;
  float d = job->skip[job->skip_per_channel ? column : at.head];
  float *out = job->y + (at.token - (job->tokens - job->outputs)) * job->y_stride + column;
  *out = __builtin_fmaf(d, x, y * gates[2 * job->heads]);
}

INLINE NAME(scan_place) NAME(further)(NAME(scan_place) at, size_t places) {
  at.first_p += places;
  at.state += places;
  if (at.rest) at.rest += places;
  return at;
}

INLINE void NAME(scan_tokens)(
    const meander_scan *job, NAME(scan_place) at, size_t tokens, size_t vectors, bool has_output) {
  const float *gates = job->gates + at.token * job->gates_stride + at.head;
  bool folds = false;
  for (size_t t = 0; t < tokens; t++) folds |= gates[t * job->gates_stride] != 1.0f;
  if (at.rest) {
    if (has_output) NAME(scan_tile)(job, at, tokens, vectors, true, true, true);
    else NAME(scan_tile)(job, at, tokens, vectors, false, true, true);
  } else if (has_output) {
    if (folds) NAME(scan_tile)(job, at, tokens, vectors, true, true, false);
    else NAME(scan_tile)(job, at, tokens, vectors, true, false, false);
  } else {
    if (folds) NAME(scan_tile)(job, at, tokens, vectors, false, true, false);
    else NAME(scan_tile)(job, at, tokens, vectors, false, false, false);
  }
}

// Tokens [first, end), all with or all without output, over `count` places from `place.first_p`.
INLINE void NAME(scan_run)(
    const meander_scan *job, NAME(scan_place) at, size_t count, size_t first, size_t end, bool has_output) {
  const size_t group = at.head / (job->heads / job->groups), skipped = job->tokens - job->outputs;
  for (size_t token = first; token < end;) {
    size_t tokens = end - token >= SCAN_TOKENS ? SCAN_TOKENS : 1, done = 0;
    at.token = token;
    at.b = job->b + token * job->b_stride + group * job->state_size;
    at.c = has_output ? job->c + (token - skipped) * job->c_stride + group * job->state_size : 0;
    for (; done + SCAN_WIDTH <= count; done += SCAN_WIDTH) {
      if (tokens == SCAN_TOKENS)
        NAME(scan_tokens)(job, NAME(further)(at, done), SCAN_TOKENS, SCAN_WIDTH / LANES, has_output);
      else
        NAME(scan_tokens)(job, NAME(further)(at, done), 1, SCAN_WIDTH / LANES, has_output);
    }
    for (; done + LANES <= count; done += LANES) {
      if (tokens == SCAN_TOKENS) NAME(scan_tokens)(job, NAME(further)(at, done), SCAN_TOKENS, 1, has_output);
      else NAME(scan_tokens)(job, NAME(further)(at, done), 1, 1, has_output);
    }
    for (; done < count; done++)
      for (size_t t = 0; t < tokens; t++) {
        NAME(scan_place) one = NAME(further)(at, done);
        one.token += t;
        one.b += t * job->b_stride;
        if (has_output) one.c += t * job->c_stride;
        NAME(scan_place_alone)(job, one, has_output);
      }
    token += tokens;
  }
}

// Blocks of places, head by head; a head's last block may be smaller.
static void NAME(scan)(const meander_scan *job, size_t first_block, size_t end_block) {
  const size_t width = job->head_width, blocks = (width + MEANDER_SCAN_BLOCK - 1) / MEANDER_SCAN_BLOCK;
  const size_t skipped = job->tokens - job->outputs;
  for (size_t first = 0; first < job->tokens; first += TOKEN_BLOCK) {
    size_t end = job->tokens - first > TOKEN_BLOCK ? first + TOKEN_BLOCK : job->tokens;
    size_t silent = skipped < first ? first : skipped < end ? skipped : end;
    for (size_t index = first_block; index < end_block; index++) {
      size_t head = index / blocks, p = index % blocks * MEANDER_SCAN_BLOCK;
      size_t count = width - p < MEANDER_SCAN_BLOCK ? width - p : MEANDER_SCAN_BLOCK;
      NAME(scan_place) at = {
          head, p, 0, width, job->b_stride, job->c_stride, 0, 0, job->state + head * job->state_size * width + p,
          job->rest ? job->rest + head * job->state_size * width + p : 0};
      NAME(scan_run)(job, at, count, first, silent, false);
      NAME(scan_run)(job, at, count, silent, end, true);
    }
  }
}
#undef SCAN_TOKENS
#undef SCAN_WIDTH
#undef TOKEN_BLOCK
