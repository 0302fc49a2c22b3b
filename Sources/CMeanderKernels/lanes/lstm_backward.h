// The way back through the cell of an LSTM; lanes are channels.

INLINE void NAME(lstm_backward_vector)(const meander_lstm_cell_backward *job, size_t at, size_t count) {
  const size_t channels = job->channels;
  vec i = load_part(job->gates + at, count), f = load_part(job->gates + channels + at, count);
  vec g = load_part(job->gates + 2 * channels + at, count), o = load_part(job->gates + 3 * channels + at, count);
  vec bent = tanh_(load_part(job->cell + at, count)), dhidden = load_part(job->dhidden + at, count);
  vec dcell = load_part(job->dcell + at, count) + dhidden * o * (1.0f - bent * bent);
  float *to = job->dgates + at;
  store_part(to, dcell * g * i * (1.0f - i), count);
  store_part(to + channels, dcell * load_part(job->before + at, count) * f * (1.0f - f), count);
  store_part(to + 2 * channels, dcell * i * (1.0f - g * g), count);
  store_part(to + 3 * channels, dhidden * bent * o * (1.0f - o), count);
  store_part(job->dcell + at, dcell * f, count);
}

static void NAME(lstm_cell_backward)(const meander_lstm_cell_backward *job) {
  size_t at = 0;
  for (; at + LANES <= job->channels; at += LANES) NAME(lstm_backward_vector)(job, at, LANES);
  if (at < job->channels) NAME(lstm_backward_vector)(job, at, job->channels - at);
}
