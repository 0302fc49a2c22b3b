// What long convolutions are made of beside transforms: products of spectra, and filters as sums of modes.

// The compiler makes vectors of it: no sum crosses a place, and every operation is spelt out.
static void NAME(spectra)(const meander_spectra *job, size_t first, size_t end) {
  const float *restrict a = job->a, *restrict b = job->b;
  float *restrict y = job->y;
  const float sign = job->conjugates ? -1.0f : 1.0f;
  for (size_t i = first; i < end; i++) {
    const float real = a[2 * i], imaginary = a[2 * i + 1], other = b[2 * i], turned = sign * b[2 * i + 1];
    const float first_part = __builtin_fmaf(real, other, -(imaginary * turned));
    const float second_part = __builtin_fmaf(real, turned, imaginary * other);
    y[2 * i] = job->adding ? y[2 * i] + first_part : first_part;
    y[2 * i + 1] = job->adding ? y[2 * i + 1] + second_part : second_part;
  }
}

INLINE void NAME(modal_channels)(const meander_modal_scan *job, size_t token, size_t channel, size_t count) {
  const bool whole = count == LANES;
  const float *from = job->x + token * job->x_stride + channel;
  vec x = whole ? load(from) : load_part(from, count), y = splat(0);
#define AT(place) (whole ? load(place) : load_part(place, count))
  for (size_t n = 0; n < job->modes; n++) {
    const size_t at = 2 * n * job->stride + channel, next = at + job->stride;
    vec a = AT(job->poles + at), b = AT(job->poles + next), s = AT(job->state + at), t = AT(job->state + next);
    vec real = fma_(a, s, fma_(-b, t, x)), imaginary = fma_(a, t, b * s);
    if (whole) store(job->state + at, real), store(job->state + next, imaginary);
    else store_part(job->state + at, real, count), store_part(job->state + next, imaginary, count);
    y = fma_(AT(job->residues + at), real, y);
    y = fma_(-AT(job->residues + next), imaginary, y);
  }
#undef AT
  float *to = job->y + token * job->y_stride + channel;
  if (whole) store(to, y); else store_part(to, y, count);
}

static void NAME(modal_scan)(const meander_modal_scan *job, size_t first_channel, size_t end_channel) {
  for (size_t channel = first_channel; channel < end_channel; channel += LANES) {
    const size_t count = end_channel - channel < LANES ? end_channel - channel : LANES;
    for (size_t token = 0; token < job->tokens; token++) {
      if (count == LANES) NAME(modal_channels)(job, token, channel, LANES);
      else NAME(modal_channels)(job, token, channel, count);
    }
  }
}
