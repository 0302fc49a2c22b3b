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

// Numbers of two parts lie in pairs; these are what a multiplication of them takes of a vector.
#if LANES == 4
#define REAL_PARTS 0, 0, 2, 2
#define IMAGINARY_PARTS 1, 1, 3, 3
#define PARTS_SWAPPED 1, 0, 3, 2
#define LOW_TWICE 0, 0, 1, 1
#define HIGH_TWICE 2, 2, 3, 3
#define EVEN_OF_TWO 0, 2, 4, 6
#define ODD_OF_TWO 1, 3, 5, 7
#elif LANES == 8
#define REAL_PARTS 0, 0, 2, 2, 4, 4, 6, 6
#define IMAGINARY_PARTS 1, 1, 3, 3, 5, 5, 7, 7
#define PARTS_SWAPPED 1, 0, 3, 2, 5, 4, 7, 6
#define LOW_TWICE 0, 0, 1, 1, 2, 2, 3, 3
#define HIGH_TWICE 4, 4, 5, 5, 6, 6, 7, 7
#define EVEN_OF_TWO 0, 2, 4, 6, 8, 10, 12, 14
#define ODD_OF_TWO 1, 3, 5, 7, 9, 11, 13, 15
#else
#define REAL_PARTS 0, 0, 2, 2, 4, 4, 6, 6, 8, 8, 10, 10, 12, 12, 14, 14
#define IMAGINARY_PARTS 1, 1, 3, 3, 5, 5, 7, 7, 9, 9, 11, 11, 13, 13, 15, 15
#define PARTS_SWAPPED 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14
#define LOW_TWICE 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7
#define HIGH_TWICE 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13, 14, 14, 15, 15
#define EVEN_OF_TWO 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30
#define ODD_OF_TWO 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31
#endif
#define TAKE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)

// -1, 1, -1, 1 …: with swapped parts, what a multiplication by i makes.
INLINE vec NAME(turning_signs)(void) {
  vec signs = splat(1);
  UNROLL for (size_t i = 0; i < LANES; i += 2) signs[i] = -1;
  return signs;
}

// One vector of `outputs` sums from the `first`-th on. The products of real and of imaginary parts are gathered apart, so that a
// term is two multiply-adds, and joined at the end.
INLINE void NAME(spectrum_sums)(const meander_spectrum_sums *job, size_t first, size_t outputs, size_t place) {
  const float *x = job->x + place, *h = job->h + place;
  vec real[4], imaginary[4];
  UNROLL for (size_t o = 0; o < outputs; o++) real[o] = imaginary[o] = splat(0);
#define TERM(o, of, by)                                           \
  {                                                               \
    vec factor = load(h + ((by) - 1) * job->h_stride);            \
    real[o] = fma_(TAKE(of, of, REAL_PARTS), factor, real[o]);    \
    imaginary[o] = fma_(TAKE(of, of, IMAGINARY_PARTS), factor, imaginary[o]); \
  }
  for (size_t i = 0; i < first; i++) {
    vec own = load(x + i * job->x_stride);
    UNROLL for (size_t o = 0; o < outputs; o++) TERM(o, own, first + o - i)
  }
  // The later of these outputs have inputs beside them.
  UNROLL for (size_t e = 0; e + 1 < outputs; e++) {
    vec own = load(x + (first + e) * job->x_stride);
    UNROLL for (size_t o = e + 1; o < outputs; o++) TERM(o, own, o - e)
  }
#undef TERM
  UNROLL for (size_t o = 0; o < outputs; o++) {
    vec turned = TAKE(imaginary[o], imaginary[o], PARTS_SWAPPED) * NAME(turning_signs)();
    store(job->y + (first - job->first + o) * job->y_stride + place, real[o] + turned);
  }
}

// In strips, so that what all outputs read of inputs and filter stays in the first cache.
static void NAME(spectrum_sums_of)(const meander_spectrum_sums *job) {
  const size_t strip = 256, all = job->first + job->outputs;
  for (size_t from = 0; from < job->columns; from += strip) {
    const size_t to = job->columns - from < strip ? job->columns : from + strip;
    size_t output = job->first;
    for (; output + 4 <= all; output += 4)
      for (size_t place = from; place < to; place += LANES) NAME(spectrum_sums)(job, output, 4, place);
    for (; output < all; output++)
      for (size_t place = from; place < to; place += LANES) NAME(spectrum_sums)(job, output, 1, place);
  }
}

static void NAME(turn_places)(const meander_turn *job) {
  const vec signs = NAME(turning_signs)();
  for (size_t t = 0; t < job->count; t += LANES) {
    vec low = load(job->turns + 2 * t), high = load(job->turns + 2 * t + LANES), first = splat(0), second = splat(0);
    if (job->early) {
      vec x = load(job->early + t);
      first = TAKE(x, x, LOW_TWICE) * low, second = TAKE(x, x, HIGH_TWICE) * high;
    }
    if (job->late) {
      vec x = load(job->late + t);
      first = fma_(TAKE(x, x, LOW_TWICE), TAKE(low, low, PARTS_SWAPPED) * signs, first);
      second = fma_(TAKE(x, x, HIGH_TWICE), TAKE(high, high, PARTS_SWAPPED) * signs, second);
    }
    store(job->turned + 2 * t, first), store(job->turned + 2 * t + LANES, second);
  }
}

static void NAME(turn_places_back)(const meander_turn_back *job) {
  const vec signs = NAME(turning_signs)();
  for (size_t t = 0; t < job->count; t += LANES) {
    vec low = load(job->turns + 2 * t), high = load(job->turns + 2 * t + LANES);
    if (job->is_late) low = TAKE(low, low, PARTS_SWAPPED) * signs, high = TAKE(high, high, PARTS_SWAPPED) * signs;
    low *= load(job->turned + 2 * t), high *= load(job->turned + 2 * t + LANES);
    vec sum = TAKE(low, high, EVEN_OF_TWO) + TAKE(low, high, ODD_OF_TWO);
    store(job->y + t, job->adding ? load(job->y + t) + sum : sum);
  }
}
#undef REAL_PARTS
#undef IMAGINARY_PARTS
#undef PARTS_SWAPPED
#undef LOW_TWICE
#undef HIGH_TWICE
#undef EVEN_OF_TWO
#undef ODD_OF_TWO
#undef TAKE

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
