import CMeanderKernels

/// exp(x) in double precision, the same bits on every CPU.
package func exponential(_ x: Double) -> Double { meander_exp(x) }
