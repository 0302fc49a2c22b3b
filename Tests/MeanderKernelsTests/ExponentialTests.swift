import CMeanderKernels
import Glibc
import MeanderTestSupport
import Testing

@Test func exponentialMatchesTheLibrary() {
  let points = stride(from: -740.0, through: 709.0, by: 0.37).map { $0 }
  expectClose(points.map { meander_exp($0) / exp($0) }, points.map { _ in 1 }, "exp", within: 1e-15)
}
