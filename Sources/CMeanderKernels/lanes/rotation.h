// Rotary positions (Su and others 2021): angles in turns, so that a position of any size keeps its digits.

// cos and sin of 2π·turn, |turn| ≤ ½, both from sin on an eighth of a turn (Taylor's series; the rest is below 1e-15).
INLINE void NAME(circle)(vecd turn, vecd *cosine, vecd *sine) {
  // The nearest quarter, and what is left of it, in radians.
  vecd quarter = fmad(turn, (vecd)4, (vecd)EXPD_MAGIC) - EXPD_MAGIC;
  vecd x = fmad(quarter, (vecd)-0.25, turn) * 6.283185307179586;
  vecd square = x * x;
  static const double sines[] = {CIRCLE_SINES}, cosines[] = {CIRCLE_COSINES};
  vecd s = sines[0], c = cosines[0];
  UNROLL for (size_t i = 1; i < sizeof sines / sizeof *sines; i++) s = fmad(s, square, (vecd)sines[i]);
  UNROLL for (size_t i = 1; i < sizeof cosines / sizeof *cosines; i++) c = fmad(c, square, (vecd)cosines[i]);
  s = s * x;
  longs number = __builtin_convertvector(quarter, longs);
  longs odd = (number & 1) != 0, negative_sine = (number & 2) != 0, negative_cosine = ((number + 1) & 2) != 0;
  vecd first = odd ? c : s, second = odd ? s : c;
  *sine = negative_sine ? -first : first;
  *cosine = negative_cosine ? -second : second;
}

static void NAME(angles)(const meander_angles *job) {
  for (size_t t = 0; t < job->tokens; t++)
    for (size_t i = 0; i < job->pairs; i += LANES) {
      const size_t count = job->pairs - i < LANES ? job->pairs - i : LANES;
      vecd turns = 0, cosine, sine;
      __builtin_memcpy(&turns, job->turns + i, count * sizeof *job->turns);
      turns *= (double)(job->position + (int64_t)t);
      turns -= __builtin_elementwise_roundeven(turns);
      NAME(circle)(turns, &cosine, &sine);
      store_part(job->cosines + t * job->stride + i, __builtin_convertvector(cosine, vec) * job->magnitude, count);
      store_part(job->sines + t * job->stride + i, __builtin_convertvector(sine, vec) * job->magnitude, count);
    }
}

static void NAME(rotate)(const meander_rotation *job, size_t first_row, size_t end_row) {
  for (size_t row = first_row; row < end_row; row++) {
    for (size_t head = 0; head < job->heads; head++) {
      const size_t angle = row * job->angle_stride + head / job->slices * job->angle_head_stride;
      const float *cosines = job->cosines + angle, *sines = job->sines + angle;
      const float *x = job->x + row * job->x_stride + head * job->head_width;
      float *y = job->y + row * job->y_stride + head * job->head_width;
      for (size_t i = 0; job->neighbors && i < job->pairs; i++) {
        const float a = x[2 * i], b = x[2 * i + 1], sine = job->back ? -sines[i] : sines[i];
        y[2 * i] = __builtin_fmaf(a, cosines[i], -(b * sine));
        y[2 * i + 1] = __builtin_fmaf(b, cosines[i], a * sine);
      }
      for (size_t i = 0; !job->neighbors && i < job->pairs; i += LANES) {
        const size_t count = job->pairs - i < LANES ? job->pairs - i : LANES;
        vec a = load_part(x + i, count), b = load_part(x + job->gap + i, count);
        vec cosine = load_part(cosines + i, count), sine = load_part(sines + i, count);
        if (job->back) sine = -sine;
        store_part(y + i, fma_(a, cosine, -(b * sine)), count);
        store_part(y + job->gap + i, fma_(b, cosine, a * sine), count);
      }
      if (y == x) continue;
      const size_t first = job->neighbors ? 2 * job->pairs : job->pairs, behind = job->neighbors ? first : job->gap + job->pairs;
      for (size_t i = first; i < job->gap; i++) y[i] = x[i];
      for (size_t i = behind; i < job->head_width; i++) y[i] = x[i];
    }
  }
}
