// The way back through the operations on rows, the loss, and the optimiser's step.

INLINE float NAME(total)(vec sum) {
  float total = 0;
  for (size_t k = 0; k < LANES; k++) total += sum[k];
  return total;
}

INLINE vec NAME(some)(const float *from, size_t count) { return count == LANES ? load(from) : load_part(from, count); }
INLINE void NAME(put)(float *to, vec value, size_t count) {
  if (count == LANES) store(to, value);
  else store_part(to, value, count);
}

// silu(x) and its derivative s + x·s·(1 - s), where s is the sigmoid.
INLINE void NAME(silu_slope)(vec x, vec *value, vec *slope) {
  vec negative = -x > SILU_BOUND ? splat(SILU_BOUND) : -x;
  negative = negative < -SILU_BOUND ? splat(-SILU_BOUND) : negative;
  vec sigmoid = 1.0f / (exp_(negative) + 1.0f);
  *value = x * sigmoid;
  *slope = fma_(*value, 1.0f - sigmoid, sigmoid);
}

// Σ u² and Σ u·weight·dy.
INLINE void NAME(norm_sums)(
    const float *x, const float *gate, const float *weight, const float *dy, size_t count, vec *squares, vec *along) {
  vec u = NAME(some)(x, count);
  if (gate) u *= silu_(NAME(some)(gate, count));
  *squares = fma_(u, u, *squares);
  *along = fma_(u, NAME(some)(weight, count) * NAME(some)(dy, count), *along);
}

// One group of a row, with r and r³·mean(u·e).
typedef struct {
  const float *x, *gate, *weight, *dy;
  float *dx, *dgate, *dweight;
  float scale, pull;
} NAME(norm_place);

INLINE void NAME(norm_place_backward)(const NAME(norm_place) *at, size_t i, size_t count, bool is_gated) {
  vec value = 0, slope = 0, from = NAME(some)(at->x + i, count), u = from, d = NAME(some)(at->dy + i, count);
  if (is_gated) {
    NAME(silu_slope)(NAME(some)(at->gate + i, count), &value, &slope);
    u *= value;
  }
  vec du = NAME(some)(at->weight + i, count) * d * at->scale - u * at->pull;
  if (is_gated) {
    NAME(put)(at->dgate + i, fma_(du * from, slope, NAME(some)(at->dgate + i, count)), count);
    du *= value;
  }
  NAME(put)(at->dx + i, NAME(some)(at->dx + i, count) + du, count);
  if (at->dweight) NAME(put)(at->dweight + i, fma_(d * u, splat(at->scale), NAME(some)(at->dweight + i, count)), count);
}

// With u = x·silu(gate), r = 1 / sqrt(mean u² + ε), e = w·dy: du = r·(e - u·r²·mean(u·e)); dw += dy·u·r.
INLINE void NAME(norm_group_backward)(const meander_norm_backward *job, size_t row, size_t first, size_t width, bool is_gated) {
  const float *x = job->x + row * job->x_stride + first, *dy = job->dy + row * job->dy_stride + first;
  const float *gate = is_gated ? job->gate + row * job->gate_stride + first : 0, *weight = job->weight + first;
  float *dx = job->dx + row * job->dx_stride + first;
  float *dgate = is_gated ? job->dgate + row * job->dgate_stride + first : 0;
  vec squares = 0, along = 0;
  size_t i = 0;
  for (; i + LANES <= width; i += LANES) NAME(norm_sums)(x + i, gate ? gate + i : 0, weight + i, dy + i, LANES, &squares, &along);
  if (i < width) NAME(norm_sums)(x + i, gate ? gate + i : 0, weight + i, dy + i, width - i, &squares, &along);
  const float scale = 1.0f / __builtin_sqrtf(NAME(total)(squares) / (float)width + job->epsilon);
  NAME(norm_place) at = {
      x, gate, weight, dy, dx, dgate, job->dweight ? job->dweight + first : 0, scale,
      scale * scale * scale * NAME(total)(along) / (float)width};
  for (i = 0; i + LANES <= width; i += LANES) NAME(norm_place_backward)(&at, i, LANES, is_gated);
  if (i < width) NAME(norm_place_backward)(&at, i, width - i, is_gated);
}

static void NAME(norm_backward)(const meander_norm_backward *job) {
  const size_t width = job->columns / job->groups;
  for (size_t row = 0; row < job->rows; row++)
    for (size_t group = 0; group < job->groups; group++) {
      if (job->gate) NAME(norm_group_backward)(job, row, group * width, width, true);
      else NAME(norm_group_backward)(job, row, group * width, width, false);
    }
}

INLINE const float *NAME(backward_input)(const meander_convolution_backward *job, size_t at, size_t width) {
  return at + 1 < width ? job->taps + at * job->taps_stride : job->x + (at + 1 - width) * job->x_stride;
}
INLINE float *NAME(backward_gradient)(const meander_convolution_backward *job, size_t at, size_t width) {
  return at + 1 < width ? job->dtaps + at * job->dtaps_stride : job->dx + (at + 1 - width) * job->dx_stride;
}

// Channels [c, c + count) of a token: the sum before silu is made again, and its gradient goes to the K inputs under it.
INLINE void NAME(convolution_place_backward)(
    const meander_convolution_backward *job, size_t token, size_t c, size_t count, size_t width) {
  vec sum = job->bias ? NAME(some)(job->bias + c, count) : splat(0), inputs[8];
  for (size_t k = 0; k < width; k++) {
    vec input = NAME(some)(NAME(backward_input)(job, token + k, width) + c, count);
    if (width <= 8) inputs[k] = input;
    sum = fma_(NAME(some)(job->weight + k * job->weight_stride + c, count), input, sum);
  }
  vec value, slope, d = NAME(some)(job->dy + token * job->dy_stride + c, count);
  if (job->silu) {
    NAME(silu_slope)(sum, &value, &slope);
    d *= slope;
  }
  if (job->dbias) NAME(put)(job->dbias + c, NAME(some)(job->dbias + c, count) + d, count);
  for (size_t k = 0; k < width; k++) {
    float *to = NAME(backward_gradient)(job, token + k, width) + c;
    NAME(put)(to, fma_(NAME(some)(job->weight + k * job->weight_stride + c, count), d, NAME(some)(to, count)), count);
    if (!job->dweight) continue;
    float *weight = job->dweight + k * job->dweight_stride + c;
    vec input = width <= 8 ? inputs[k] : NAME(some)(NAME(backward_input)(job, token + k, width) + c, count);
    NAME(put)(weight, fma_(input, d, NAME(some)(weight, count)), count);
  }
}

// The channels from c on.
INLINE void NAME(convolution_token_backward)(const meander_convolution_backward *job, size_t token, size_t c, size_t width) {
  for (; c + LANES <= job->channels; c += LANES) NAME(convolution_place_backward)(job, token, c, LANES, width);
  if (c < job->channels) NAME(convolution_place_backward)(job, token, c, job->channels - c, width);
}

// Outputs or places of the window that are gone back over side by side.
#define CONVOLUTION_TILE 8
#define CONVOLUTION_RUN 256

// Without silu the sum itself is not needed. The input at place p of taps and x gets Σ weight[k] · dy[p - k], here `count` of them.
INLINE void NAME(convolution_inputs_backward)(const meander_convolution_backward *job, size_t place, size_t c, size_t count) {
  vec sum[CONVOLUTION_TILE];
  UNROLL for (size_t i = 0; i < count; i++) sum[i] = splat(0);
  // Places of the window at which some of the inputs have an output, and those at which all do.
  const size_t first = place + 1 > job->tokens ? place + 1 - job->tokens : 0;
  const size_t last = place + count < job->width ? place + count : job->width;
  const size_t from = place + count > job->tokens ? place + count - job->tokens : 0, to = place + 1 < last ? place + 1 : last;
  for (size_t k = first; k < last; k++) {
    const vec weight = load(job->weight + k * job->weight_stride + c);
    if (k >= from && k < to) {
      const float *d = job->dy + (place - k) * job->dy_stride + c;
      UNROLL for (size_t i = 0; i < count; i++) sum[i] = fma_(weight, load(d + i * job->dy_stride), sum[i]);
    } else {
      UNROLL for (size_t i = 0; i < count; i++)
        if (place + i >= k && place + i - k < job->tokens)
          sum[i] = fma_(weight, load(job->dy + (place + i - k) * job->dy_stride + c), sum[i]);
    }
  }
  UNROLL for (size_t i = 0; i < count; i++) {
    float *to_input = NAME(backward_gradient)(job, place + i, job->width) + c;
    store(to_input, load(to_input) + sum[i]);
  }
}

// `count` weights from k on, for a run of tokens: Σ input · dy.
INLINE void NAME(convolution_weights_backward)(
    const meander_convolution_backward *job, size_t token, size_t end, size_t k, size_t c, size_t count) {
  vec sum[CONVOLUTION_TILE];
  float *dweight = job->dweight + k * job->dweight_stride + c;
  UNROLL for (size_t i = 0; i < count; i++) sum[i] = load(dweight + i * job->dweight_stride);
  for (; token < end; token++) {
    const vec d = load(job->dy + token * job->dy_stride + c);
    if (token + k + 1 >= job->width) {
      const float *input = job->x + (token + k + 1 - job->width) * job->x_stride + c;
      UNROLL for (size_t i = 0; i < count; i++) sum[i] = fma_(load(input + i * job->x_stride), d, sum[i]);
    } else {
      UNROLL for (size_t i = 0; i < count; i++)
        sum[i] = fma_(load(NAME(backward_input)(job, token + k + i, job->width) + c), d, sum[i]);
    }
  }
  UNROLL for (size_t i = 0; i < count; i++) store(dweight + i * job->dweight_stride, sum[i]);
}

static __attribute__((noinline)) void NAME(linear_convolution_backward)(const meander_convolution_backward *job, size_t c) {
  const size_t places = job->tokens + job->width - 1;
  size_t place = 0;
  for (; place + CONVOLUTION_TILE <= places; place += CONVOLUTION_TILE)
    NAME(convolution_inputs_backward)(job, place, c, CONVOLUTION_TILE);
  for (; place < places; place++) NAME(convolution_inputs_backward)(job, place, c, 1);
  // Runs of tokens, so that what one tile of the window read is in the first cache for the next.
  for (size_t token = 0; token < job->tokens; token += CONVOLUTION_RUN) {
    const size_t end = job->tokens - token < CONVOLUTION_RUN ? job->tokens : token + CONVOLUTION_RUN;
    size_t k = job->dweight ? 0 : job->width;
    for (; k + CONVOLUTION_TILE <= job->width; k += CONVOLUTION_TILE)
      NAME(convolution_weights_backward)(job, token, end, k, c, CONVOLUTION_TILE);
    for (; k < job->width; k++) NAME(convolution_weights_backward)(job, token, end, k, c, 1);
    for (size_t t = token; job->dbias && t < end; t++)
      store(job->dbias + c, load(job->dbias + c) + load(job->dy + t * job->dy_stride + c));
  }
}
#undef CONVOLUTION_TILE
#undef CONVOLUTION_RUN

static void NAME(convolution_backward)(const meander_convolution_backward *job) {
  size_t c = 0;
  if (!job->silu)
    for (; c + LANES <= job->channels; c += LANES) NAME(linear_convolution_backward)(job, c);
  for (size_t token = 0; token < job->tokens && c < job->channels; token++) {
    if (job->width == 4) NAME(convolution_token_backward)(job, token, c, 4);
    else NAME(convolution_token_backward)(job, token, c, job->width);
  }
}

static void NAME(steps)(const meander_steps *job) {
  for (size_t t = 0; t < job->tokens; t++)
    for (size_t head = 0; head < job->heads; head += LANES) {
      const size_t count = job->heads - head < LANES ? job->heads - head : LANES;
      vec d = softplus_(NAME(some)(job->dt + t * job->dt_stride + head, count) + NAME(some)(job->bias + head, count));
      vec minimum = NAME(some)(job->minimum + head, count), maximum = NAME(some)(job->maximum + head, count);
      d = d < minimum ? minimum : d;
      d = d > maximum ? maximum : d;
      d *= NAME(some)(job->scale + head, count);
      d = d < NAME(some)(job->threshold + head, count) ? splat(0) : d;
      NAME(put)(job->step + t * job->heads + head, d, count);
      for (size_t k = 0; k < count; k++) {
        double decay = __builtin_fma(job->rate[head + k], (double)d[k], job->log_retention[head + k]);
        job->decay[t * job->heads + head + k] = decay;
        if (job->total) job->total[head + k] += decay;
      }
    }
}

// dstep = rate·ddecay + insertion·dinsertion; nothing passes a bound or a filter that holds.
static void NAME(steps_backward)(const meander_steps_backward *backward) {
  const meander_steps *job = &backward->forward;
  for (size_t t = 0; t < job->tokens; t++)
    for (size_t head = 0; head < job->heads; head++) {
      const size_t place = t * job->heads + head;
      const double step = job->step[place], ddecay = backward->ddecay[place];
      if (backward->dlog_rate) backward->dlog_rate[head] += (float)(ddecay * job->rate[head] * step);
      const double input = (double)job->dt[t * job->dt_stride + head] + (double)job->bias[head];
      const double soft = (input > 0 ? input : 0) + meander_log(1 + meander_exp(input > 0 ? -input : input));
      if (step == 0 || soft <= job->minimum[head] || soft >= job->maximum[head]) continue;
      double dstep = ddecay * job->rate[head] + (double)backward->insertion[head] * backward->dinsertion[place];
      float draw = (float)(dstep * job->scale[head] / (1 + meander_exp(-input)));
      backward->ddt[t * backward->ddt_stride + head] += draw;
      if (backward->dbias) backward->dbias[head] += draw;
    }
}

static void NAME(cross_entropy)(const meander_cross_entropy *job) {
  for (size_t row = 0; row < job->rows; row++) {
    const float *logits = job->logits + row * job->stride;
    float *to = job->dlogits + row * job->dlogits_stride;
    const size_t target = (size_t)job->targets[row];
    const float weight = job->weights[row];
    job->losses[row] = job->hits[row] = 0;
    if (weight == 0) {
      __builtin_memset(to, 0, job->columns * sizeof *to);
      continue;
    }
    float largest = logits[0];
    for (size_t i = 1; i < job->columns; i++) largest = logits[i] > largest ? logits[i] : largest;
    const float chosen = logits[target];
    vec sums = 0;
    for (size_t i = 0; i < job->columns; i += LANES) {
      const size_t count = job->columns - i < LANES ? job->columns - i : LANES;
      vec e = exp_(NAME(some)(logits + i, count) - largest);
      NAME(put)(to + i, e, count);
      for (size_t k = count; k < LANES; k++) e[k] = 0;
      sums += e;
    }
    const float sum = NAME(total)(sums), scale = job->scale * weight / sum;
    for (size_t i = 0; i < job->columns; i += LANES) {
      const size_t count = job->columns - i < LANES ? job->columns - i : LANES;
      NAME(put)(to + i, NAME(some)(to + i, count) * scale, count);
    }
    to[target] -= job->scale * weight;
    job->losses[row] = weight * (float)(meander_log(sum) + ((double)largest - (double)chosen));
    job->hits[row] = chosen == largest ? 1 : 0;
  }
}

static void NAME(adam)(const meander_adam *job) {
  for (size_t i = 0; i < job->count; i += LANES) {
    const size_t count = job->count - i < LANES ? job->count - i : LANES;
    vec g = NAME(some)(job->gradient + i, count) * job->scale, value = NAME(some)(job->value + i, count);
    vec first = NAME(some)(job->first + i, count) * job->beta1 + g * (1 - job->beta1);
    vec second = NAME(some)(job->second + i, count) * job->beta2 + g * g * (1 - job->beta2);
    vec move = first * job->correction1 / (__builtin_elementwise_sqrt(second * job->correction2) + job->epsilon);
    NAME(put)(job->first + i, first, count);
    NAME(put)(job->second + i, second, count);
    NAME(put)(job->value + i, value - (move + value * job->decay) * job->rate, count);
  }
}

static void NAME(add_scaled)(const meander_row_sum *job) {
  for (size_t row = 0; row < job->rows; row++) {
    const float *x = job->x + row * job->x_stride;
    float *y = job->y + row * job->y_stride;
    for (size_t i = 0; i < job->columns; i += LANES) {
      const size_t count = job->columns - i < LANES ? job->columns - i : LANES;
      NAME(put)(y + i, fma_(NAME(some)(x + i, count), splat(job->scale), NAME(some)(y + i, count)), count);
    }
  }
}

static void NAME(sum_rows)(const meander_row_sum *job) {
  for (size_t row = 0; row < job->rows; row++) {
    const float *x = job->x + row * job->x_stride;
    for (size_t i = 0; i < job->columns; i += LANES) {
      const size_t count = job->columns - i < LANES ? job->columns - i : LANES;
      NAME(put)(job->y + i, NAME(some)(job->y + i, count) + NAME(some)(x + i, count), count);
    }
  }
}
