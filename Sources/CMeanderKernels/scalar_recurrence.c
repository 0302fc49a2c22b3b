// The reference, continued: the operations that carry something from token to token.

#include "scalar_math.h"
#include "tables.h"

void meander_scalar_convolution(const meander_convolution *job, size_t first_channel, size_t end_channel) {
  const size_t kept = job->width - 1;
  for (size_t channel = first_channel; channel < end_channel; channel++) {
    for (size_t token = 0; token < job->tokens; token++) {
      float sum = job->bias ? job->bias[channel] : 0;
      for (size_t k = 0; k < job->width; k++) {
        size_t at = token + k;
        float input = at < kept ? job->taps[at * job->taps_stride + channel]
                                : job->x[(at - kept) * job->x_stride + channel];
        sum = fmaf(job->weight[k * job->weight_stride + channel], input, sum);
      }
      job->y[token * job->y_stride + channel] = job->silu ? scalar_silu(sum) : sum;
    }
    for (size_t k = 0; k < kept; k++) {
      size_t at = job->tokens + k;
      job->taps[k * job->taps_stride + channel] = at < kept ? job->taps[at * job->taps_stride + channel]
                                                            : job->x[(at - kept) * job->x_stride + channel];
    }
  }
}

static void gate(const meander_gates *job, size_t token, size_t head) {
  float d = scalar_softplus(job->dt[token * job->dt_stride + head] + job->bias[head]);
  d = d < job->minimum[head] ? job->minimum[head] : d;
  d = d > job->maximum[head] ? job->maximum[head] : d;
  d = job->scale[head] * d;
  d = d < job->threshold[head] ? 0 : d;
  double log_decay = fma(job->rate[head], d, job->log_retention[head]);
  job->total[head] += log_decay;
  double pending = job->pending[head] + log_decay;
  double decay = meander_exp(pending), insertion = (double)job->insertion[head] * (double)d;
  bool folds = pending < FOLD_BELOW;
  job->pending[head] = folds ? 0 : pending;
  float factor = folds ? (float)decay : 1.0f;
  float *gates = job->gates + token * job->gates_stride + head;
  gates[0] = factor < SMALLEST_NORMAL ? 0 : factor;
  gates[job->heads] = (float)(folds ? insertion : insertion / decay);
  gates[2 * job->heads] = folds ? 1.0f : (float)decay;
}

void meander_scalar_gates(const meander_gates *job, size_t first_head, size_t end_head) {
  for (size_t head = first_head; head < end_head; head++)
    for (size_t token = 0; token < job->tokens; token++) gate(job, token, head);
}

// One place of one head's width over all tokens.
static void scan_place(const meander_scan *job, size_t head, size_t p) {
  const size_t column = head * job->head_width + p, first_n = head / (job->heads / job->groups) * job->state_size;
  const size_t skipped = job->tokens - job->outputs;
  float *state = job->state + head * job->state_size * job->head_width + p;
  float *rest = job->rest ? job->rest + head * job->state_size * job->head_width + p : NULL;
  for (size_t token = 0; token < job->tokens; token++) {
    const float *gates = job->gates + token * job->gates_stride + head, *b = job->b + token * job->b_stride + first_n;
    const float x = job->x[token * job->x_stride + column], u = x * gates[job->heads];
    const float *c = token >= skipped ? job->c + (token - skipped) * job->c_stride + first_n : NULL;
    float y = 0;
    for (size_t n = 0; n < job->state_size; n++) {
      float *g = state + n * job->head_width, before = gates[0] * *g;
      if (rest) {
        float *r = rest + n * job->head_width, low = gates[0] * *r;
        float change = fmaf(b[n], u, low), h = before + change, moved = h - before;
        *r = (before - (h - moved)) + (change - moved);
        *g = h;
      } else {
        *g = fmaf(b[n], u, before);
      }
      if (c) y = fmaf(c[n], *g, y);
    }
    float skip = job->skip[job->skip_per_channel ? column : head];
    if (c) job->y[(token - skipped) * job->y_stride + column] = fmaf(skip, x, y * gates[2 * job->heads]);
  }
}

void meander_scalar_scan(const meander_scan *job, size_t first_block, size_t end_block) {
  const size_t blocks = (job->head_width + MEANDER_SCAN_BLOCK - 1) / MEANDER_SCAN_BLOCK;
  for (size_t index = first_block; index < end_block; index++) {
    size_t first = index % blocks * MEANDER_SCAN_BLOCK, end = first + MEANDER_SCAN_BLOCK;
    if (end > job->head_width) end = job->head_width;
    for (size_t p = first; p < end; p++) scan_place(job, index / blocks, p);
  }
}

void meander_scalar_channel_scan(const meander_channel_scan *job, size_t first_channel, size_t end_channel) {
  const size_t skipped = job->tokens - job->outputs;
  for (size_t token = 0; token < job->tokens; token++)
    for (size_t channel = first_channel; channel < end_channel; channel++) {
      float x = job->x[token * job->x_stride + channel], d = job->dt[token * job->dt_stride + channel], y = 0;
      const float u = job->input ? job->input[token * job->input_stride + channel] : job->insertion * d * x;
      const float s = job->rate_scale * d;
      for (size_t n = 0; n < job->state_size; n++) {
        float *h = job->state + n * job->state_stride + channel, *low = job->rest + n * job->rest_stride + channel;
        float loss = scalar_exp_less_one(fmaf(s, job->rate[n * job->rate_stride + channel], job->log_retention));
        float change = fmaf(loss, *h, job->b[token * job->b_stride + n] * u) + fmaf(loss, *low, *low);
        float sum = *h + change, moved = sum - *h;
        *low = (*h - (sum - moved)) + (change - moved);
        *h = sum;
        if (token >= skipped) y = fmaf(job->c[(token - skipped) * job->c_stride + n], *h, y);
      }
      if (token >= skipped)
        job->y[(token - skipped) * job->y_stride + channel] = fmaf(job->skip[channel], x, y);
    }
}

void meander_scalar_lstm_cell(const meander_lstm_cell *job, size_t first_channel, size_t end_channel) {
  for (size_t at = first_channel; at < end_channel; at++) {
    float *i = job->gates + at, *f = i + job->channels, *g = f + job->channels, *o = g + job->channels;
    *i = scalar_sigmoid(*i);
    *f = scalar_sigmoid(*f);
    *g = scalar_tanh(*g);
    *o = scalar_sigmoid(*o);
    job->cell[at] = fmaf(*i, *g, *f * job->before[at]);
    job->hidden[at] = *o * scalar_tanh(job->cell[at]);
  }
}
