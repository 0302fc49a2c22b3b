// The way back through the selective scan of Mamba-1: the states are computed again and kept for a block of channels, then
// walked from the last token. With g the gradient of h[n] and a its decay: dC += dy·h, dB += g·u, du = Σ g·B,
// d(log a) = g·a·h before; g goes on as g·a.

typedef struct {
  vec x, d, u;
} NAME(channel_token);

INLINE NAME(channel_token) NAME(channel_inputs)(const meander_channel_scan *job, size_t token, size_t channel, size_t count) {
  NAME(channel_token) at;
  at.x = load_part(job->x + token * job->x_stride + channel, count);
  at.d = load_part(job->dt + token * job->dt_stride + channel, count);
  at.u = job->input ? load_part(job->input + token * job->input_stride + channel, count) : at.d * at.x;
  return at;
}

// exp(dt·A[n])
INLINE vec NAME(channel_decay)(const meander_channel_scan *job, size_t n, size_t channel, size_t count, vec d) {
  return exp_less_one(d * load_part(job->rate + n * job->rate_stride + channel, count)) + 1.0f;
}

INLINE void NAME(channel_more)(float *to, vec value, size_t count) { store_part(to, load_part(to, count) + value, count); }

INLINE void NAME(channel_token_backward)(
    const meander_channel_scan_backward *job, size_t token, size_t channel, size_t count) {
  const meander_channel_scan *forward = &job->forward;
  const size_t size = forward->state_size, skipped = forward->tokens - forward->outputs;
  const bool has_output = token >= skipped;
  const NAME(channel_token) at = NAME(channel_inputs)(forward, token, channel, count);
  const vec dy = has_output ? load_part(job->dy + (token - skipped) * job->dy_stride + channel, count) : splat(0);
  vec du = 0, dd = 0;
  for (size_t n = 0; n < size; n++) {
    const float *before = job->states + (token * size + n) * MEANDER_BLOCK, *after = before + size * MEANDER_BLOCK;
    float *place = job->dstate + n * job->dstate_stride + channel;
    const float b = forward->b[token * forward->b_stride + n];
    vec g = load_part(place, count);
    if (has_output) {
      g = fma_(splat(forward->c[(token - skipped) * forward->c_stride + n]), dy, g);
      if (job->dc) job->dc[(token - skipped) * job->dc_stride + n] += NAME(total)(dy * load(after));
    }
    if (job->db) job->db[token * job->db_stride + n] += NAME(total)(g * at.u);
    du = fma_(splat(b), g, du);
    vec rate = load_part(forward->rate + n * forward->rate_stride + channel, count);
    g *= NAME(channel_decay)(forward, n, channel, count, at.d);
    vec dlog = g * load(before);
    dd = fma_(dlog, rate, dd);
    if (job->drate) NAME(channel_more)(job->drate + n * job->drate_stride + channel, dlog * at.d, count);
    store_part(place, g, count);
  }
  vec dx = has_output ? dy * load_part(forward->skip + channel, count) : splat(0);
  if (job->dinput) {
    NAME(channel_more)(job->dinput + token * job->dinput_stride + channel, du, count);
  } else {
    dx = fma_(du, at.d, dx);
    dd = fma_(du, at.x, dd);
  }
  if (job->dskip) NAME(channel_more)(job->dskip + channel, dy * at.x, count);
  NAME(channel_more)(job->dx + token * job->dx_stride + channel, dx, count);
  NAME(channel_more)(job->ddt + token * job->ddt_stride + channel, dd, count);
}

static void NAME(channel_scan_backward)(const meander_channel_scan_backward *job) {
  const meander_channel_scan *forward = &job->forward;
  const size_t size = forward->state_size;
  for (size_t channel = 0; channel < forward->channels; channel += LANES) {
    const size_t count = forward->channels - channel < LANES ? forward->channels - channel : LANES;
    for (size_t n = 0; n < size; n++)
      store(
          job->states + n * MEANDER_BLOCK, load_part(forward->state + n * forward->state_stride + channel, count) +
                                               load_part(forward->rest + n * forward->rest_stride + channel, count));
    for (size_t token = 0; token < forward->tokens; token++) {
      const NAME(channel_token) at = NAME(channel_inputs)(forward, token, channel, count);
      for (size_t n = 0; n < size; n++) {
        float *before = job->states + (token * size + n) * MEANDER_BLOCK;
        vec decay = NAME(channel_decay)(forward, n, channel, count, at.d);
        store(
            before + size * MEANDER_BLOCK,
            fma_(decay, load(before), splat(forward->b[token * forward->b_stride + n]) * at.u));
      }
    }
    for (size_t token = forward->tokens; token-- > 0;) NAME(channel_token_backward)(job, token, channel, count);
  }
}
