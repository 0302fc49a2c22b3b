import MeanderTestSupport
import MeanderTraining
import Testing

@Test(arguments: [(1, 1, 1), (3, 5, 7), (17, 16, 33)])
func openBLASAgreesWithTheDefinition(m: Int, n: Int, k: Int) {
  var generator = SeededGenerator(seed: 5)
  let a = generator.normal(m * k)
  let b = generator.normal(k * n)
  var reference = [Float](repeating: 0, count: m * n)
  for i in 0..<m {
    for j in 0..<n {
      var sum = 0.0
      for inner in 0..<k { sum += Double(a[i * k + inner]) * Double(b[inner * n + j]) }
      reference[i * n + j] = Float(sum)
    }
  }
  expectClose(OpenBLASProduct.multiply(a, b, m: m, n: n, k: k), reference, "product")
}
