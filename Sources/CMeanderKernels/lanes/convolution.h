// The causal depthwise convolution: lanes are channels, so a sum over the window never crosses them.

INLINE void NAME(convolve)(
    const meander_convolution *job, size_t token, size_t channel, size_t count) {
  const bool whole = count == LANES;
  vec sum = splat(0);
  if (job->bias) sum = whole ? load(job->bias + channel) : load_part(job->bias + channel, count);
  for (size_t k = 0; k < job->width; k++) {
    const float *weight = job->weight + k * job->weight_stride + channel;
    size_t at = token + k;
    const float *input = at + 1 < job->width ? job->taps + at * job->taps_stride + channel
                                             : job->x + (at + 1 - job->width) * job->x_stride + channel;
    sum = fma_(whole ? load(weight) : load_part(weight, count), whole ? load(input) : load_part(input, count), sum);
  }
  if (job->silu) sum = silu_(sum);
  float *y = job->y + token * job->y_stride + channel;
  if (whole) store(y, sum); else store_part(y, sum, count);
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
    size_t channel = first_channel;
    for (; channel + LANES <= end_channel; channel += LANES) NAME(convolve)(job, token, channel, LANES);
    if (channel < end_channel) NAME(convolve)(job, token, channel, end_channel - channel);
  }
  NAME(keep_taps)(job, first_channel, end_channel);
}
