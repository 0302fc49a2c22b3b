// The cell of an LSTM over one token; lanes are channels.

INLINE void NAME(lstm_vector)(const meander_lstm_cell *job, size_t at, size_t count) {
  const bool whole = count == LANES;
  vec activations[4];
  for (size_t gate = 0; gate < 4; gate++) {
    float *place = job->gates + gate * job->channels + at;
    vec sum = whole ? load(place) : load_part(place, count);
    activations[gate] = gate == 2 ? tanh_(sum) : sigmoid_(sum);
    if (whole) store(place, activations[gate]); else store_part(place, activations[gate], count);
  }
  vec before = whole ? load(job->before + at) : load_part(job->before + at, count);
  vec cell = fma_(activations[0], activations[2], activations[1] * before);
  vec hidden = activations[3] * tanh_(cell);
  if (whole) store(job->cell + at, cell); else store_part(job->cell + at, cell, count);
  if (whole) store(job->hidden + at, hidden); else store_part(job->hidden + at, hidden, count);
}

static void NAME(lstm_cell)(const meander_lstm_cell *job, size_t first_channel, size_t end_channel) {
  size_t at = first_channel;
  for (; at + LANES <= end_channel; at += LANES) NAME(lstm_vector)(job, at, LANES);
  if (at < end_channel) NAME(lstm_vector)(job, at, end_channel - at);
}
