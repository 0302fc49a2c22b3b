import CMeanderKernels
import Glibc

/// exp(x) in double precision, the same bits on every CPU.
package func exponential(_ x: Double) -> Double { meander_exp(x) }

/// ln x in double precision, the same bits on every CPU; x is positive.
package func logarithm(_ x: Double) -> Double { meander_log(x) }

/// exp(x) - 1 without cancellation, as the C library has it: for training alone.
package func exponentialMinusOne(_ x: Double) -> Double { expm1(x) }
