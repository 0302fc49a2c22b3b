// The causal depthwise convolution: lanes are channels, so a sum over the window never crosses them.

// Outputs that are computed side by side.
#define CONVOLUTION_TILE 8

INLINE const float *NAME(convolution_input)(const meander_convolution *job, size_t at, size_t width) {
  return at + 1 < width ? job->taps + at * job->taps_stride : job->x + (at + 1 - width) * job->x_stride;
}

// A width known when this is compiled.
INLINE void NAME(convolve)(const meander_convolution *job, size_t token, size_t first, size_t end, size_t width) {
  float *y = job->y + token * job->y_stride;
  size_t channel = first;
  for (; channel + LANES <= end; channel += LANES) {
    vec sum = job->bias ? load(job->bias + channel) : splat(0);
    UNROLL for (size_t k = 0; k < width; k++)
      sum = fma_(
          load(job->weight + k * job->weight_stride + channel),
          load(NAME(convolution_input)(job, token + k, width) + channel), sum);
    store(y + channel, job->silu ? silu_(sum) : sum);
  }
  if (channel == end) return;
  size_t count = end - channel;
  vec sum = job->bias ? load_part(job->bias + channel, count) : splat(0);
  for (size_t k = 0; k < width; k++)
    sum = fma_(
        load_part(job->weight + k * job->weight_stride + channel, count),
        load_part(NAME(convolution_input)(job, token + k, width) + channel, count), sum);
  store_part(y + channel, job->silu ? silu_(sum) : sum, count);
}

// Any width: `tokens` outputs from one on, `vectors` of channels each. Every sum goes over the window in its order, whatever
// stands beside it.
INLINE void NAME(convolve_tile)(
    const meander_convolution *job, size_t token, size_t channel, size_t tokens, size_t vectors) {
  const size_t width = job->width;
  vec sum[CONVOLUTION_TILE];
  UNROLL for (size_t v = 0; v < vectors; v++) {
    vec bias = job->bias ? load(job->bias + channel + v * LANES) : splat(0);
    UNROLL for (size_t i = 0; i < tokens; i++) sum[i * vectors + v] = bias;
  }
#define PLACE(row)                                                                                          \
  UNROLL for (size_t v = 0; v < vectors; v++) {                                                             \
    vec weight = load(job->weight + k * job->weight_stride + channel + v * LANES);                          \
    UNROLL for (size_t i = 0; i < tokens; i++)                                                              \
      sum[i * vectors + v] = fma_(weight, load((row) + channel + v * LANES), sum[i * vectors + v]);         \
  }
  // First the places at which all tokens look at taps, last those at which all look at inputs.
  const size_t before = token + tokens <= width ? width - token - tokens : 0, behind = token + 1 < width ? width - 1 - token : 0;
  size_t k = 0;
  for (; k < before; k++) PLACE(job->taps + (token + k + i) * job->taps_stride)
  for (; k < behind; k++) PLACE(NAME(convolution_input)(job, token + k + i, width))
  for (; k < width; k++) PLACE(job->x + (token + k + i + 1 - width) * job->x_stride)
#undef PLACE
  UNROLL for (size_t i = 0; i < tokens; i++)
    UNROLL for (size_t v = 0; v < vectors; v++) {
      vec value = sum[i * vectors + v];
      store(job->y + (token + i) * job->y_stride + channel + v * LANES, job->silu ? silu_(value) : value);
    }
}

static __attribute__((noinline)) void NAME(convolve_any)(
    const meander_convolution *job, size_t token, size_t end_token, size_t first, size_t end) {
  size_t channel = first;
  if (end_token - token < CONVOLUTION_TILE)
    for (; channel + 4 * LANES <= end; channel += 4 * LANES)
      for (size_t t = token; t < end_token; t++) NAME(convolve_tile)(job, t, channel, 1, 4);
  for (; channel + LANES <= end; channel += LANES) {
    size_t t = token;
    for (; t + CONVOLUTION_TILE <= end_token; t += CONVOLUTION_TILE) NAME(convolve_tile)(job, t, channel, CONVOLUTION_TILE, 1);
    for (; t < end_token; t++) NAME(convolve_tile)(job, t, channel, 1, 1);
  }
  const size_t count = end - channel;
  for (size_t t = token; count > 0 && t < end_token; t++) {
    vec sum = job->bias ? load_part(job->bias + channel, count) : splat(0);
    for (size_t k = 0; k < job->width; k++)
      sum = fma_(
          load_part(job->weight + k * job->weight_stride + channel, count),
          load_part(NAME(convolution_input)(job, t + k, job->width) + channel, count), sum);
    store_part(job->y + t * job->y_stride + channel, job->silu ? silu_(sum) : sum, count);
  }
}

// The last K - 1 inputs, of which the oldest may be taps themselves when there are few tokens.
static void NAME(keep_taps)(const meander_convolution *job, size_t first, size_t end) {
  for (size_t k = 0; k + 1 < job->width; k++) {
    size_t at = job->tokens + k;
    const float *from = at + 1 < job->width ? job->taps + at * job->taps_stride
                                            : job->x + (at + 1 - job->width) * job->x_stride;
    __builtin_memmove(job->taps + k * job->taps_stride + first, from + first, (end - first) * sizeof *from);
  }
}

static void NAME(convolution)(const meander_convolution *job, size_t first_channel, size_t end_channel) {
  // Runs of tokens, so that what they read is still in the second cache for the next channels.
  const size_t run = 256;
  if (job->width == 4)
    for (size_t token = 0; token < job->tokens; token++) NAME(convolve)(job, token, first_channel, end_channel, 4);
  else
    for (size_t token = 0; token < job->tokens; token += run) {
      const size_t end = job->tokens - token < run ? job->tokens : token + run;
      NAME(convolve_any)(job, token, end, first_channel, end_channel);
    }
  NAME(keep_taps)(job, first_channel, end_channel);
}
#undef CONVOLUTION_TILE
