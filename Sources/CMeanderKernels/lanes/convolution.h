// The causal depthwise convolution: lanes are channels, so a sum over the window never crosses them.

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

// Any width; its inner loop is not unrolled.
static __attribute__((noinline)) void NAME(convolve_any)(
    const meander_convolution *job, size_t token, size_t first, size_t end) {
  float *y = job->y + token * job->y_stride;
  for (size_t channel = first; channel < end; channel += LANES) {
    size_t count = end - channel < LANES ? end - channel : LANES;
    vec sum = job->bias ? load_part(job->bias + channel, count) : splat(0);
    for (size_t k = 0; k < job->width; k++)
      sum = fma_(
          load_part(job->weight + k * job->weight_stride + channel, count),
          load_part(NAME(convolution_input)(job, token + k, job->width) + channel, count), sum);
    store_part(y + channel, job->silu ? silu_(sum) : sum, count);
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
  for (size_t token = 0; token < job->tokens; token++) {
    if (job->width == 4) NAME(convolve)(job, token, first_channel, end_channel, 4);
    else NAME(convolve_any)(job, token, first_channel, end_channel);
  }
  NAME(keep_taps)(job, first_channel, end_channel);
}
