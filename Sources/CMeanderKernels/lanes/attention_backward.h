// Attention for training: weights row by row, and the way back from them to scores.

static void NAME(attention_rows)(const meander_attention_rows *job) {
  const size_t columns = job->rows.first + job->rows.count;
  for (size_t r = 0; r < job->count; r++) {
    float *row = job->scores + r * job->stride, largest, floor = job->prefix_weight ? 0 : -__builtin_inff();
    float sum = NAME(attention_weights)(&job->rows, job->head, job->position + (int64_t)r, row, floor, &largest), lift = 0;
    if (job->prefix_weight) {
      float part[LANES];
      store(part, exp_(splat(-largest)));
      lift = part[0];
      sum = __builtin_fmaf(lift, job->prefix_weight[r * job->prefix_weight_stride], sum);
    }
    job->lifts[r] = lift / sum;
    for (size_t at = 0; at < columns; at += LANES) store(row + at, load(row + at) / sum);
  }
}

// Back through max(N·A - offset, 0)^power, normalised, and A = softplus(x), normalised: from the gradient of the final weights
// to that of the biased scores, in double precision. Σ gradient·weight is `along`.
static void NAME(softplus_row_backward)(
    const meander_attention_row *job, const float *bias, const float *scores, float *dweights, NAME(seen_columns) seen,
    int64_t t, double along) {
  const size_t columns = job->first + job->count;
  const double count = (double)(seen.first_end + seen.to - seen.from);
  const float scale = job->scale * job->log_width * (float)meander_log(count);
  double total = 0, raised = 0, top = 0, pull = 0;
  for (int pass = 0; pass < 4; pass++) {
    // 0: Σ softplus; 1: the largest that stands out; 2: Σ of powers; 3: the gradient of A, and Σ of it times A.
    for (size_t at = 0; at < columns; at += LANES) {
      float part[LANES];
      store(part, NAME(biased)(job, bias, load(scores + at), (int64_t)at, seen, t, scale, -__builtin_inff()));
      for (size_t i = 0; i < LANES; i++) {
        if (part[i] == -__builtin_inff()) {
          dweights[at + i] = 0;
          continue;
        }
        const double positive = part[i] > 0 ? part[i] : 0, magnitude = part[i] > 0 ? part[i] : -part[i];
        const double value = positive + meander_log(1 + meander_exp(-magnitude));
        if (pass == 0) {
          total += value;
          continue;
        }
        const double out = count * value / total - job->offset;
        if (pass == 1) top = out > top ? out : top;
        if (job->power == 0 || top <= 0) {
          if (pass == 3) pull += dweights[at + i] * value / total;
          continue;
        }
        if (pass == 1) continue;
        double power = out > 0 ? 1 : 0;
        for (int32_t k = 1; k < job->power; k++) power *= out / top;
        if (pass == 2) raised += power * (out / top);
        else {
          dweights[at + i] = (float)((dweights[at + i] - along) * job->power * power / (raised * top) * count);
          pull += dweights[at + i] * value / total;
        }
      }
    }
  }
  for (size_t at = 0; at < columns; at += LANES) {
    float part[LANES];
    store(part, NAME(biased)(job, bias, load(scores + at), (int64_t)at, seen, t, scale, -__builtin_inff()));
    for (size_t i = 0; i < LANES; i++)
      if (part[i] != -__builtin_inff())
        dweights[at + i] = (float)((dweights[at + i] - pull) / total / (1 + meander_exp(-(double)part[i])));
  }
}

static void NAME(attention_rows_backward)(const meander_attention_rows_backward *job) {
  const meander_attention_row *rows = &job->forward.rows;
  const size_t columns = rows->first + rows->count, length = rows->bias_length;
  const float *bias = rows->bias ? rows->bias + job->forward.head * (length + 2 * MEANDER_BIAS_MARGIN) : 0;
  for (size_t r = 0; r < job->forward.count; r++) {
    const int64_t t = job->forward.position + (int64_t)r;
    const float *weights = job->forward.scores + r * job->forward.stride;
    float *dweights = job->dweights + r * job->forward.stride, scale = rows->scale;
    NAME(seen_columns) seen = NAME(columns_seen)(rows, t);
    if (rows->softplus) {
      NAME(softplus_row_backward)(rows, bias, job->raw + r * job->forward.stride, dweights, seen, t, job->along[r]);
      scale *= rows->log_width * (float)meander_log((double)(seen.first_end + seen.to - seen.from));
    } else {
      for (size_t at = 0; at < columns; at += LANES)
        store(dweights + at, load(weights + at) * (load(dweights + at) - job->along[r]));
    }
    if (job->dbias)
      for (size_t at = 0; at < columns; at++) {
        int64_t p = at < rows->first ? (int64_t)at : rows->base + (int64_t)(at - rows->first), distance = t - p;
        if (distance < 0) continue;
        if (distance > rows->ceiling) distance = rows->ceiling;
        if (distance > (int64_t)length - 1) distance = (int64_t)length - 1;
        job->dbias[MEANDER_BIAS_MARGIN + (int64_t)length - 1 - distance] += dweights[at];
      }
    for (size_t at = 0; at < columns; at += LANES) store(dweights + at, load(dweights + at) * scale);
  }
}
