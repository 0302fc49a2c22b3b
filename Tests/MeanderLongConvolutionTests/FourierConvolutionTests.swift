import MeanderLongConvolution
import MeanderTestSupport
import Testing

@Test(arguments: [(1, 1), (5, 9), (64, 64), (257, 33)])
func fourierConvolutionAgreesWithTheDefinition(count: Int, width: Int) throws {
  var generator = SeededGenerator(seed: 11)
  let signal = generator.normal(count)
  let filter = generator.normal(width)
  var reference = [Float](repeating: 0, count: count)
  for t in 0..<count {
    var sum = 0.0
    for step in 0..<min(width, t + 1) { sum += Double(filter[step]) * Double(signal[t - step]) }
    reference[t] = Float(sum)
  }
  expectClose(try FourierConvolution.causal(signal, filter), reference, "convolution", within: 1e-5)
}
