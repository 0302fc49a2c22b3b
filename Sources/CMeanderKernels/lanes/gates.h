// The gates of the selective scan: lanes are heads, tokens follow one another.

typedef struct {
  vecd rate, log_retention, pending, total;
  vec bias, scale, threshold, insertion, minimum, maximum;
} NAME(head_lanes);

// One token's f, i and e: the arithmetic is told in SelectiveScan.swift.
INLINE void NAME(gate)(NAME(head_lanes) *heads, vec dt, vec *f, vec *i, vec *e) {
  vec d = softplus_(dt + heads->bias);
  d = d < heads->minimum ? heads->minimum : d;
  d = d > heads->maximum ? heads->maximum : d;
  d = heads->scale * d;
  d = d < heads->threshold ? splat(0) : d;
  vecd log_decay = fmad(heads->rate, __builtin_convertvector(d, vecd), heads->log_retention);
  heads->total += log_decay;
  vecd pending = heads->pending + log_decay;
  vecd decay = exp_double(pending);
  vecd insert = __builtin_convertvector(heads->insertion, vecd) * __builtin_convertvector(d, vecd);
  longs folds = pending < FOLD_BELOW;
  heads->pending = folds ? (vecd)0 : pending;
  vec factor = __builtin_convertvector(folds ? decay : (vecd)1, vec);
  *f = factor < SMALLEST_NORMAL ? splat(0) : factor;
  *i = __builtin_convertvector(folds ? insert : insert / decay, vec);
  *e = __builtin_convertvector(folds ? (vecd)1 : decay, vec);
}

static void NAME(gates)(const meander_gates *job, size_t first_head, size_t end_head) {
  for (size_t head = first_head; head < end_head; head += LANES) {
    size_t count = end_head - head < LANES ? end_head - head : LANES;
    NAME(head_lanes) heads = {
        .rate = load_double(job->rate + head), .log_retention = load_double(job->log_retention + head),
        .bias = load(job->bias + head), .scale = load(job->scale + head), .threshold = load(job->threshold + head),
        .insertion = load(job->insertion + head), .minimum = load(job->minimum + head),
        .maximum = load(job->maximum + head)};
    __builtin_memcpy(&heads.pending, job->pending + head, count * sizeof(double));
    __builtin_memcpy(&heads.total, job->total + head, count * sizeof(double));
    for (size_t token = 0; token < job->tokens; token++) {
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
