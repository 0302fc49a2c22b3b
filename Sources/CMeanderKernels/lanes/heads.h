// What heads have one number for: sums over their columns, and products with it.

INLINE float NAME(head_dot)(const float *a, const float *b, size_t width) {
  block sums = {0};
  size_t i = 0;
  for (; i + MEANDER_BLOCK <= width; i += MEANDER_BLOCK)
    UNROLL for (size_t v = 0; v < BLOCK_VECTORS; v++) {
      const size_t at = i + v * LANES;
      sums.v[v] = fma_(load(a + at), b ? load(b + at) : splat(1), sums.v[v]);
    }
  for (size_t v = 0; i < width; i += LANES, v++) {
    size_t count = width - i < LANES ? width - i : LANES;
    sums.v[v] = fma_(load_part(a + i, count), b ? load_part(b + i, count) : splat(1), sums.v[v]);
  }
  return sum_of(sums);
}

static void NAME(heads_dot)(const meander_heads *job, size_t first_row, size_t end_row) {
  for (size_t row = first_row; row < end_row; row++)
    for (size_t head = 0; head < job->heads; head++) {
      const size_t at = head * job->width;
      float *y = job->y + row * job->y_stride + head;
      float sum = NAME(head_dot)(
          job->a + row * job->a_stride + at, job->b ? job->b + row * job->b_stride + at : 0, job->width);
      *y = job->adding ? *y + sum : sum;
    }
}

static void NAME(heads_scale)(const meander_heads *job, size_t first_row, size_t end_row) {
  for (size_t row = first_row; row < end_row; row++)
    for (size_t head = 0; head < job->heads; head++) {
      const float *a = job->a + row * job->a_stride + head * job->width;
      const vec factor = splat(job->b[row * job->b_stride + head]);
      float *y = job->y + row * job->y_stride + head * job->width;
      size_t i = 0;
      for (; i + LANES <= job->width; i += LANES) {
        vec value = factor * load(a + i);
        store(y + i, job->adding ? load(y + i) + value : value);
      }
      const size_t count = job->width - i;
      if (count == 0) continue;
      vec value = factor * load_part(a + i, count);
      store_part(y + i, job->adding ? load_part(y + i, count) + value : value, count);
    }
}
