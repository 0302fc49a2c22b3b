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
