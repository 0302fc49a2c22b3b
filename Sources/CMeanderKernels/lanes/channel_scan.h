// The selective scan of Mamba-1: every channel has N states of its own, each with its own decay; lanes are channels.
// What a state gains or loses at a token is added to it with the rounding kept (Knuth's sum of two, in `rest`), so that
// changes smaller than the grain of fp32 add up.

INLINE void NAME(channel_vector)(const meander_channel_scan *job, size_t token, size_t channel, size_t count) {
  const bool whole = count == LANES, has_output = token >= job->tokens - job->outputs;
  const size_t out = token - (job->tokens - job->outputs);
  const float *from = job->x + token * job->x_stride + channel, *step = job->dt + token * job->dt_stride + channel;
  vec x = whole ? load(from) : load_part(from, count), d = whole ? load(step) : load_part(step, count);
  vec u = job->insertion * d * x, s = job->rate_scale * d, y = splat(0);
  if (job->input) {
    const float *input = job->input + token * job->input_stride + channel;
    u = whole ? load(input) : load_part(input, count);
  }
  for (size_t n = 0; n < job->state_size; n++) {
    const float *rate = job->rate + n * job->rate_stride + channel;
    float *state = job->state + n * job->state_stride + channel;
    float *rest = job->rest + n * job->rest_stride + channel;
    vec loss = exp_less_one(fma_(s, whole ? load(rate) : load_part(rate, count), splat(job->log_retention)));
    vec before = whole ? load(state) : load_part(state, count), low = whole ? load(rest) : load_part(rest, count);
    vec change = fma_(loss, before, splat(job->b[token * job->b_stride + n]) * u) + fma_(loss, low, low);
    vec h = before + change, moved = h - before;
    low = (before - (h - moved)) + (change - moved);
    if (whole) store(state, h); else store_part(state, h, count);
    if (whole) store(rest, low); else store_part(rest, low, count);
    if (has_output) y = fma_(splat(job->c[out * job->c_stride + n]), h, y);
  }
  if (!has_output) return;
  float *to = job->y + out * job->y_stride + channel;
  if (whole) store(to, fma_(load(job->skip + channel), x, y));
  else store_part(to, fma_(load_part(job->skip + channel, count), x, y), count);
}

static void NAME(channel_scan)(const meander_channel_scan *job, size_t first_channel, size_t end_channel) {
  for (size_t block = first_channel; block < end_channel; block += MEANDER_BLOCK) {
    size_t end = end_channel - block < MEANDER_BLOCK ? end_channel : block + MEANDER_BLOCK;
    for (size_t token = 0; token < job->tokens; token++) {
      size_t channel = block;
      for (; channel + LANES <= end; channel += LANES) NAME(channel_vector)(job, token, channel, LANES);
      if (channel < end) NAME(channel_vector)(job, token, channel, end - channel);
    }
  }
}
