// The reference, continued: what long convolutions are made of beside transforms.

#include "scalar_math.h"
#include "tables.h"

void meander_scalar_spectra(const meander_spectra *job, size_t first, size_t end) {
  for (size_t i = first; i < end; i++) {
    const float real = job->a[2 * i], imaginary = job->a[2 * i + 1], other = job->b[2 * i];
    const float turned = job->conjugates ? -job->b[2 * i + 1] : job->b[2 * i + 1];
    const float first_part = fmaf(real, other, -(imaginary * turned)), second_part = fmaf(real, turned, imaginary * other);
    job->y[2 * i] = job->adding ? job->y[2 * i] + first_part : first_part;
    job->y[2 * i + 1] = job->adding ? job->y[2 * i + 1] + second_part : second_part;
  }
}

void meander_scalar_spectrum_sums(const meander_spectrum_sums *job) {
  for (size_t output = 0; output < job->outputs; output++)
    for (size_t at = 0; at < job->columns; at += 2) {
      float real[2] = {0}, imaginary[2] = {0};
      for (size_t i = 0; i < job->first + output; i++) {
        const float *x = job->x + i * job->x_stride + at, *h = job->h + (job->first + output - i - 1) * job->h_stride + at;
        for (size_t part = 0; part < 2; part++) {
          real[part] = fmaf(x[0], h[part], real[part]);
          imaginary[part] = fmaf(x[1], h[part], imaginary[part]);
        }
      }
      job->y[output * job->y_stride + at] = real[0] - imaginary[1];
      job->y[output * job->y_stride + at + 1] = real[1] + imaginary[0];
    }
}

void meander_scalar_turn(const meander_turn *job) {
  for (size_t t = 0; t < job->count; t++) {
    const float cosine = job->turns[2 * t], sine = job->turns[2 * t + 1];
    float real = 0, imaginary = 0;
    if (job->early) real = job->early[t] * cosine, imaginary = job->early[t] * sine;
    if (job->late) real = fmaf(job->late[t], -sine, real), imaginary = fmaf(job->late[t], cosine, imaginary);
    job->turned[2 * t] = real, job->turned[2 * t + 1] = imaginary;
  }
}

void meander_scalar_turn_back(const meander_turn_back *job) {
  for (size_t t = 0; t < job->count; t++) {
    const float cosine = job->turns[2 * t], sine = job->turns[2 * t + 1], real = job->turned[2 * t];
    const float imaginary = job->turned[2 * t + 1];
    const float sum = job->is_late ? -sine * real + cosine * imaginary : cosine * real + sine * imaginary;
    job->y[t] = job->adding ? job->y[t] + sum : sum;
  }
}

void meander_scalar_modal_scan(const meander_modal_scan *job, size_t first_channel, size_t end_channel) {
  for (size_t channel = first_channel; channel < end_channel; channel++)
    for (size_t token = 0; token < job->tokens; token++) {
      const float x = job->x[token * job->x_stride + channel];
      float y = 0;
      for (size_t n = 0; n < job->modes; n++) {
        const size_t at = 2 * n * job->stride + channel, next = at + job->stride;
        const float a = job->poles[at], b = job->poles[next], s = job->state[at], t = job->state[next];
        job->state[at] = fmaf(a, s, fmaf(-b, t, x));
        job->state[next] = fmaf(a, t, b * s);
        y = fmaf(job->residues[at], job->state[at], y);
        y = fmaf(-job->residues[next], job->state[next], y);
      }
      job->y[token * job->y_stride + channel] = y;
    }
}
