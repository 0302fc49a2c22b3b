// The norm that takes the mean away (Ba and others 2016).

// Sums are 16 partial sums, of columns that are 16 apart.
INLINE void NAME(layer_norm_group)(const meander_layer_norm *job, size_t row, size_t first, size_t width) {
  const float *x = job->x + row * job->x_stride + first, *weight = job->weight + first;
  const float *bias = job->bias ? job->bias + first : 0;
  float *y = job->y + row * job->y_stride + first;
  block sums = {0}, squares = {0};
  for (size_t at = 0; at < width; at += LANES) {
    vec value = width - at < LANES ? load_part(x + at, width - at) : load(x + at);
    sums.v[at % MEANDER_BLOCK / LANES] += value;
  }
  const float mean = sum_of(sums) / (float)width;
  for (size_t at = 0; at < width; at += LANES) {
    // Places past the end must not count as zeros less the mean.
    vec value = splat(0);
    if (width - at < LANES) {
      store_part(y + at, load_part(x + at, width - at) - mean, width - at);
      value = load_part(y + at, width - at);
    } else {
      value = load(x + at) - mean;
      store(y + at, value);
    }
    vec *sum = &squares.v[at % MEANDER_BLOCK / LANES];
    *sum = fma_(value, value, *sum);
  }
  const float scale = 1.0f / __builtin_sqrtf(sum_of(squares) / (float)width + job->epsilon);
  for (size_t at = 0; at < width; at += LANES) {
    size_t count = width - at < LANES ? width - at : LANES;
    const bool whole = count == LANES;
    vec value = whole ? load(y + at) : load_part(y + at, count);
    value = value * scale * (whole ? load(weight + at) : load_part(weight + at, count));
    if (bias) value += whole ? load(bias + at) : load_part(bias + at, count);
    if (whole) store(y + at, value); else store_part(y + at, value, count);
  }
}

static void NAME(layer_norm)(const meander_layer_norm *job, size_t first_row, size_t end_row) {
  const size_t width = job->columns / job->groups;
  for (size_t row = first_row; row < end_row; row++)
    for (size_t group = 0; group < job->groups; group++) NAME(layer_norm_group)(job, row, group * width, width);
}
