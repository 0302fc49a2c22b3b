// The way back through activations and through the norm that takes the mean away.

INLINE void NAME(activation_slope)(meander_activation_kind kind, vec x, vec *value, vec *slope) {
  vec positive = x < 0.0f ? splat(0) : x, s, below, squared;
  switch (kind) {
    case MEANDER_SILU: NAME(silu_slope)(x, value, slope); break;
    case MEANDER_SIGMOID:
      *value = sigmoid_(x);
      *slope = *value * (1.0f - *value);
      break;
    case MEANDER_TANH:
      *value = tanh_(x);
      *slope = 1.0f - *value * *value;
      break;
    case MEANDER_GELU:
      below = normal_cdf_(x);
      *value = x * below;
      *slope = fma_(x * NORMAL_PEAK, exp_(x * x * -0.5f), below);
      break;
    case MEANDER_GELU_TANH:
      squared = x * x;
      s = x * fma_(splat(GELU_CUBE), squared, splat(GELU_LINEAR));
      s = sigmoid_(s + s);
      *value = x * s;
      *slope = s + *value * (1.0f - s) * 2.0f * fma_(splat(3 * GELU_CUBE), squared, splat(GELU_LINEAR));
      break;
    case MEANDER_RELU:
      *value = positive;
      *slope = x > 0.0f ? splat(1) : splat(0);
      break;
    case MEANDER_ELU_PLUS_ONE:
      *value = x > 0.0f ? x + 1.0f : exp_(x);
      *slope = x > 0.0f ? splat(1) : *value;
      break;
    default:
      *value = positive * positive;
      *slope = positive + positive;
      break;
  }
}

INLINE void NAME(activation_place_backward)(
    const meander_activation_backward *job, size_t row, size_t i, size_t count) {
  vec value = 0, slope = 0, dy = NAME(some)(job->dy + row * job->dy_stride + i, count);
  NAME(activation_slope)(
      (meander_activation_kind)job->kind, NAME(some)(job->a + row * job->a_stride + i, count), &value, &slope);
  float *da = job->da + row * job->da_stride + i;
  vec pull = job->b ? dy * NAME(some)(job->b + row * job->b_stride + i, count) : dy;
  NAME(put)(da, fma_(pull, slope, NAME(some)(da, count)), count);
  if (!job->db) return;
  float *db = job->db + row * job->db_stride + i;
  NAME(put)(db, fma_(dy, value, NAME(some)(db, count)), count);
}

static void NAME(activation_backward)(const meander_activation_backward *job) {
  for (size_t row = 0; row < job->rows; row++) {
    size_t i = 0;
    for (; i + LANES <= job->columns; i += LANES) NAME(activation_place_backward)(job, row, i, LANES);
    if (i < job->columns) NAME(activation_place_backward)(job, row, i, job->columns - i);
  }
}

// With r = 1 / sqrt(variance + ε), n = (x - mean)·r and e = w·dy: dx = r·(e - mean(e) - n·mean(n·e)).
INLINE void NAME(layer_norm_group_backward)(const meander_layer_norm_backward *job, size_t row, size_t first, size_t width) {
  const float *x = job->x + row * job->x_stride + first, *dy = job->dy + row * job->dy_stride + first;
  const float *weight = job->weight + first;
  float *dx = job->dx + row * job->dx_stride + first;
  double sum = 0, squares = 0, pull = 0, along = 0;
  for (size_t i = 0; i < width; i++) sum += x[i];
  const double mean = sum / (double)width;
  for (size_t i = 0; i < width; i++) {
    double from = x[i] - mean, e = (double)weight[i] * dy[i];
    squares += from * from;
    pull += e;
    along += from * e;
  }
  const double scale = 1 / __builtin_sqrt(squares / (double)width + job->epsilon);
  pull /= (double)width;
  along = along * scale / (double)width;
  for (size_t i = 0; i < width; i++) {
    double normal = (x[i] - mean) * scale;
    dx[i] += (float)(scale * ((double)weight[i] * dy[i] - pull - normal * along));
    if (job->dweight) job->dweight[first + i] += (float)(dy[i] * normal);
    if (job->dbias) job->dbias[first + i] += dy[i];
  }
}

static void NAME(layer_norm_backward)(const meander_layer_norm_backward *job) {
  const size_t width = job->columns / job->groups;
  for (size_t row = 0; row < job->rows; row++)
    for (size_t group = 0; group < job->groups; group++) NAME(layer_norm_group_backward)(job, row, group * width, width);
}
