// What the linear recurrence in chunks needs beside products of matrices.

INLINE void NAME(linear_exponent)(const meander_linear_exponents *job, size_t row, size_t n, size_t count, vecd sum) {
  vecd e = exp_double(sum);
  store_part(job->shrink + row * job->state_size + n, __builtin_convertvector(e, vec), count);
  if (row == 0) return;
  store_part(job->grow + (row - 1) * job->state_size + n, __builtin_convertvector(1.0 / e, vec), count);
}

static void NAME(linear_exponents)(const meander_linear_exponents *job) {
  for (size_t n = 0; n < job->state_size; n += LANES) {
    const size_t count = job->state_size - n < LANES ? job->state_size - n : LANES;
    const bool shared = job->decays == 1;
    vecd sum = 0;
    if (shared) sum = (vecd)job->pending[0];
    else __builtin_memcpy(&sum, job->pending + n, count * sizeof(double));
    NAME(linear_exponent)(job, 0, n, count, sum);
    for (size_t t = 0; t < job->tokens; t++) {
      const float *decay = job->decay + t * job->decay_stride;
      sum += shared ? (vecd)(double)*decay : __builtin_convertvector(load_part(decay + n, count), vecd);
      NAME(linear_exponent)(job, t + 1, n, count, sum);
    }
    if (!shared) __builtin_memcpy(job->pending + n, &sum, count * sizeof(double));
  }
  if (job->decays == 1)
    for (size_t t = 0; t < job->tokens; t++) *job->pending += job->decay[t * job->decay_stride];
}

INLINE void NAME(solve_row)(const meander_unit_solve *job, size_t row, size_t i, size_t count) {
  float *x = job->x + i;
  const size_t first = job->transposed ? row + 1 : 0, end = job->transposed ? job->rows : row;
  vec sum = NAME(some)(x + row * job->x_stride, count);
  for (size_t other = first; other < end; other++) {
    float factor = job->transposed ? job->lower[other * job->lower_stride + row] : job->lower[row * job->lower_stride + other];
    sum = fma_(splat(factor), NAME(some)(x + other * job->x_stride, count), sum);
  }
  NAME(put)(x + row * job->x_stride, sum, count);
}

static void NAME(unit_solve)(const meander_unit_solve *job) {
  for (size_t i = 0; i < job->columns; i += LANES) {
    const size_t count = job->columns - i < LANES ? job->columns - i : LANES;
    for (size_t k = 0; k < job->rows; k++) NAME(solve_row)(job, job->transposed ? job->rows - 1 - k : k, i, count);
  }
}
