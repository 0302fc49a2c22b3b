#include "CMeanderKernels.h"

enum { BLOCK = MEANDER_BLOCK };

// In blocks, so that no line of either is fetched again for every number. `adding` is known when this is compiled.
static inline __attribute__((always_inline)) void transpose(
    const float *restrict x, size_t x_stride, size_t rows, size_t columns, float *restrict y, size_t y_stride, bool adding) {
  for (size_t top = 0; top < rows; top += BLOCK)
    for (size_t left = 0; left < columns; left += BLOCK) {
      const size_t height = rows - top < BLOCK ? rows - top : BLOCK, width = columns - left < BLOCK ? columns - left : BLOCK;
      const float *from = x + top * x_stride + left;
      float *to = y + left * y_stride + top;
      for (size_t column = 0; column < width; column++) {
        float *line = to + column * y_stride;
        if (height == BLOCK) {
          float part[BLOCK];
          for (size_t row = 0; row < BLOCK; row++) part[row] = from[row * x_stride + column];
          for (size_t row = 0; row < BLOCK; row++) line[row] = adding ? line[row] + part[row] : part[row];
        } else {
          for (size_t row = 0; row < height; row++) {
            const float value = from[row * x_stride + column];
            line[row] = adding ? line[row] + value : value;
          }
        }
      }
    }
}

void meander_transpose(
    const float *x, size_t x_stride, size_t rows, size_t columns, float *y, size_t y_stride, bool adding) {
  if (adding) transpose(x, x_stride, rows, columns, y, y_stride, true);
  else transpose(x, x_stride, rows, columns, y, y_stride, false);
}
