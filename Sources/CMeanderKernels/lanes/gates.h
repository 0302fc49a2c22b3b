// The gates of the selective scan: lanes are heads, tokens follow one another.

typedef struct {
  vecd rate, log_retention, pending, total;
  vec bias, scale, threshold, insertion, minimum, maximum;
} NAME(head_lanes);

// The time step d of a token, and its log-decay.
INLINE vec NAME(gate_step)(const NAME(head_lanes) *heads, vec dt, vecd *log_decay) {
  vec d = softplus_(dt + heads->bias);
  d = d < heads->minimum ? heads->minimum : d;
  d = d > heads->maximum ? heads->maximum : d;
  d = heads->scale * d;
  d = d < heads->threshold ? splat(0) : d;
  *log_decay = fmad(heads->rate, __builtin_convertvector(d, vecd), heads->log_retention);
  return d;
}

// f, i and e of a token whose decay makes `pending` what the stored state lacks: the arithmetic is told in
// SelectiveScan.swift.
INLINE void NAME(gate_factors)(const NAME(head_lanes) *heads, vec d, vecd pending, vec *f, vec *i, vec *e) {
  vecd decay = exp_double(pending);
  vecd insert = __builtin_convertvector(heads->insertion, vecd) * __builtin_convertvector(d, vecd);
  longs folds = pending < FOLD_BELOW;
  vec factor = __builtin_convertvector(folds ? decay : (vecd)1, vec);
  *f = factor < SMALLEST_NORMAL ? splat(0) : factor;
  *i = __builtin_convertvector(folds ? insert : insert / decay, vec);
  *e = __builtin_convertvector(folds ? (vecd)1 : decay, vec);
}

INLINE void NAME(gate)(NAME(head_lanes) *heads, vec dt, vec *f, vec *i, vec *e) {
  vecd log_decay;
  vec d = NAME(gate_step)(heads, dt, &log_decay);
  heads->total += log_decay;
  vecd pending = heads->pending + log_decay;
  NAME(gate_factors)(heads, d, pending, f, i, e);
  heads->pending = pending < FOLD_BELOW ? (vecd)0 : pending;
}

// Few heads leave most lanes idle, so several tokens share a vector; only the sums of decay go from token to token.
// Returns how many tokens were done; each lane computes what it would have alone.
INLINE size_t NAME(gates_of_few)(const meander_gates *job, const size_t head, const size_t count) {
  const size_t together = LANES / count;
  double rate[LANES] = {0}, log_retention[LANES] = {0}, decays[LANES] = {0}, sums[LANES] = {0};
  double pending[LANES], total[LANES];
  float narrow[6][LANES] = {{0}}, dt[LANES] = {0}, out[3][LANES];
  const float *sources[6] = {job->bias, job->scale, job->threshold, job->insertion, job->minimum, job->maximum};
  for (size_t lane = 0; lane < together * count; lane++) {
    const size_t at = head + lane % count;
    rate[lane] = job->rate[at];
    log_retention[lane] = job->log_retention[at];
    for (size_t k = 0; k < 6; k++) narrow[k][lane] = sources[k][at];
  }
  NAME(head_lanes) heads = {
      .rate = load_double(rate), .log_retention = load_double(log_retention), .bias = load(narrow[0]),
      .scale = load(narrow[1]), .threshold = load(narrow[2]), .insertion = load(narrow[3]), .minimum = load(narrow[4]),
      .maximum = load(narrow[5])};
  __builtin_memcpy(pending, job->pending + head, count * sizeof *pending);
  __builtin_memcpy(total, job->total + head, count * sizeof *total);
  size_t token = 0;
  for (; token + together <= job->tokens; token += together) {
    UNROLL for (size_t t = 0; t < together; t++)
      __builtin_memcpy(dt + t * count, job->dt + (token + t) * job->dt_stride + head, count * sizeof *dt);
    vecd log_decay;
    vec d = NAME(gate_step)(&heads, load(dt), &log_decay), f, i, e;
    store_double(decays, log_decay);
    UNROLL for (size_t t = 0; t < together; t++)
      UNROLL for (size_t h = 0; h < count; h++) {
        total[h] += decays[t * count + h];
        double sum = pending[h] + decays[t * count + h];
        sums[t * count + h] = sum;
        pending[h] = sum < FOLD_BELOW ? 0 : sum;
      }
    NAME(gate_factors)(&heads, d, load_double(sums), &f, &i, &e);
    store(out[0], f);
    store(out[1], i);
    store(out[2], e);
    UNROLL for (size_t t = 0; t < together; t++)
      UNROLL for (size_t k = 0; k < 3; k++)
        __builtin_memcpy(
            job->gates + (token + t) * job->gates_stride + k * job->heads + head, out[k] + t * count,
            count * sizeof **out);
  }
  __builtin_memcpy(job->pending + head, pending, count * sizeof *pending);
  __builtin_memcpy(job->total + head, total, count * sizeof *total);
  return token;
}

#define FEW_CASE(heads) \
  case heads: return NAME(gates_of_few)(job, head, heads);

static size_t NAME(gates_of_block)(const meander_gates *job, size_t head, size_t count) {
  switch (count) {
    FEW_CASE(1) FEW_CASE(2)
#if LANES >= 8
    FEW_CASE(3) FEW_CASE(4)
#endif
#if LANES >= 16
    FEW_CASE(5) FEW_CASE(6) FEW_CASE(7) FEW_CASE(8)
#endif
    default: return 0;
  }
}
#undef FEW_CASE

static void NAME(gates)(const meander_gates *job, size_t first_head, size_t end_head) {
  for (size_t head = first_head; head < end_head; head += LANES) {
    size_t count = end_head - head < LANES ? end_head - head : LANES;
    size_t token = NAME(gates_of_block)(job, head, count);
    if (token == job->tokens) continue;
    NAME(head_lanes) heads = {
        .rate = load_double(job->rate + head), .log_retention = load_double(job->log_retention + head),
        .bias = load(job->bias + head), .scale = load(job->scale + head), .threshold = load(job->threshold + head),
        .insertion = load(job->insertion + head), .minimum = load(job->minimum + head),
        .maximum = load(job->maximum + head)};
    __builtin_memcpy(&heads.pending, job->pending + head, count * sizeof(double));
    __builtin_memcpy(&heads.total, job->total + head, count * sizeof(double));
    for (; token < job->tokens; token++) {
      vec f, i, e;
      float *gates = job->gates + token * job->gates_stride + head;
      const float *dt = job->dt + token * job->dt_stride + head;
      if (count == LANES) {
        NAME(gate)(&heads, load(dt), &f, &i, &e);
        store(gates, f);
        store(gates + job->heads, i);
        store(gates + 2 * job->heads, e);
      } else {
        NAME(gate)(&heads, load_part(dt, count), &f, &i, &e);
        store_part(gates, f, count);
        store_part(gates + job->heads, i, count);
        store_part(gates + 2 * job->heads, e, count);
      }
    }
    __builtin_memcpy(job->pending + head, &heads.pending, count * sizeof(double));
    __builtin_memcpy(job->total + head, &heads.total, count * sizeof(double));
  }
}
