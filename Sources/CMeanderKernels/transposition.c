#include "CMeanderKernels.h"

enum { BLOCK = MEANDER_BLOCK, QUAD = 4 };
typedef float quad __attribute__((ext_vector_type(QUAD)));

static inline quad load_quad(const float *from) {
  quad v;
  __builtin_memcpy(&v, from, sizeof v);
  return v;
}

static inline __attribute__((always_inline)) void put_quad(float *to, quad v, bool adding) {
  if (adding) v += load_quad(to);
  __builtin_memcpy(to, &v, sizeof v);
}

// Four rows of four.
static inline __attribute__((always_inline)) void transpose_quad(
    const float *x, size_t x_stride, float *y, size_t y_stride, bool adding) {
  const quad a = load_quad(x), b = load_quad(x + x_stride), c = load_quad(x + 2 * x_stride), d = load_quad(x + 3 * x_stride);
  const quad low = __builtin_shufflevector(a, b, 0, 4, 1, 5), other_low = __builtin_shufflevector(c, d, 0, 4, 1, 5);
  const quad high = __builtin_shufflevector(a, b, 2, 6, 3, 7), other_high = __builtin_shufflevector(c, d, 2, 6, 3, 7);
  put_quad(y, __builtin_shufflevector(low, other_low, 0, 1, 4, 5), adding);
  put_quad(y + y_stride, __builtin_shufflevector(low, other_low, 2, 3, 6, 7), adding);
  put_quad(y + 2 * y_stride, __builtin_shufflevector(high, other_high, 0, 1, 4, 5), adding);
  put_quad(y + 3 * y_stride, __builtin_shufflevector(high, other_high, 2, 3, 6, 7), adding);
}

// In blocks, so that no line of either is fetched again for every number. `adding` is known when this is compiled.
static inline __attribute__((always_inline)) void transpose(
    const float *restrict x, size_t x_stride, size_t rows, size_t columns, float *restrict y, size_t y_stride, bool adding) {
  for (size_t top = 0; top < rows; top += BLOCK)
    for (size_t left = 0; left < columns; left += BLOCK) {
      const size_t height = rows - top < BLOCK ? rows - top : BLOCK, width = columns - left < BLOCK ? columns - left : BLOCK;
      const float *from = x + top * x_stride + left;
      float *to = y + left * y_stride + top;
      if (height == BLOCK && width == BLOCK) {
        for (size_t column = 0; column < BLOCK; column += QUAD)
          for (size_t row = 0; row < BLOCK; row += QUAD)
            transpose_quad(from + row * x_stride + column, x_stride, to + column * y_stride + row, y_stride, adding);
        continue;
      }
      for (size_t column = 0; column < width; column++)
        for (size_t row = 0; row < height; row++) {
          const float value = from[row * x_stride + column];
          float *place = to + column * y_stride + row;
          *place = adding ? *place + value : value;
        }
    }
}

void meander_transpose(
    const float *x, size_t x_stride, size_t rows, size_t columns, float *y, size_t y_stride, bool adding) {
  if (adding) transpose(x, x_stride, rows, columns, y, y_stride, true);
  else transpose(x, x_stride, rows, columns, y, y_stride, false);
}
