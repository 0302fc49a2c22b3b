#include "CMeanderKernels.h"

#include <math.h>

// exp(x) = 2^k · exp(r), r = x - k·ln 2 in [-ln 2 / 2, ln 2 / 2], ln 2 in two parts so that r is exact to the last bit;
// exp(r) by its Taylor series to r^13, whose remainder is below 5e-18.
double meander_exp(double x) {
  if (x != x) return x;
  if (x > 709.78) return INFINITY;
  if (x < -745.2) return 0;
  double k = nearbyint(x * 1.4426950408889634);
  double r = fma(k, -0x1.62e42fefa39efp-1, x);
  r = fma(k, -0x1.abc9e3b39803fp-56, r);
  double sum = 1.0 / 6227020800.0;
  static const double inverse_factorials[] = {
      1.0 / 479001600.0, 1.0 / 39916800.0, 1.0 / 3628800.0, 1.0 / 362880.0, 1.0 / 40320.0, 1.0 / 5040.0, 1.0 / 720.0,
      1.0 / 120.0,       1.0 / 24.0,       1.0 / 6.0,       0.5,            1.0,           1.0};
  for (int i = 0; i < 13; i++) sum = fma(sum, r, inverse_factorials[i]);
  return ldexp(sum, (int)k);
}
