import Glibc
import MeanderKernels

/// How the parameters of a stack begin where an architecture has no rule of its own: projections uniform within 1/√fan-in,
/// those that write to the residual stream divided by √L, embeddings normal with deviation 0.02, norms at one and biases at zero.
struct StackInitialization {
  /// L
  let layers: Int
  /// The endings of the names of projections that write to the residual stream.
  let outputs: [String]

  /// The endings of all architectures' projections that write to the residual stream, and of their biases.
  static let residualOutputs = [
    "out_proj.weight", "out_proj.bias", "o_proj.weight", "o_proj.bias", "down_proj.weight", "down_proj.bias", "proj_down.weight",
    "output.weight", "ffn.value.weight", "feed_forward.value.weight",
  ]

  /// The values of a parameter.
  ///
  /// - Parameter special: an architecture's own rule for a name's last one or two parts, given something that draws as many
  ///   numbers as there are; nil leaves it to the rules here.
  func values(
    of entry: Parameters.Entry, using generator: inout SplitMix64,
    special: (_ name: String, _ draw: (_ value: (inout SplitMix64) -> Double) -> [Float]) -> [Float]?
  ) -> [Float] {
    var source = generator
    defer { generator = source }
    func draw(_ value: (inout SplitMix64) -> Double) -> [Float] { (0..<entry.count).map { _ in Float(value(&source)) } }
    let parts = entry.name.split(separator: ".").map(String.init)
    let (last, lastTwo) = (parts.last ?? "", parts.suffix(2).joined(separator: "."))
    if let values = special(lastTwo, draw) ?? special(last, draw) { return values }
    if last == "bias" { return draw { _ in 0 } }
    if entry.shape.count < 2 { return draw { _ in entry.name.contains("norm") || entry.name.contains("ln") ? 1 : 0 } }
    if lastTwo.contains("emb") { return draw { $0.normal() * 0.02 } }
    let bound = 1 / Double(entry.columns).squareRoot()
    let share = outputs.contains { entry.name.hasSuffix($0) } ? 1 / Double(layers).squareRoot() : 1
    return draw { (2 * $0.uniform() - 1) * bound * share }
  }

  /// What recurrent heads and channels begin with, by the names that the Mamba family gives it: rates from 1 to N where a row has
  /// one for each of its numbers, else drawn of the range that the options name; biases of time steps, and skips of one.
  static func recurrentValues(
    of entry: Parameters.Entry, _ name: String, _ options: Initialization,
    _ draw: (_ value: (inout SplitMix64) -> Double) -> [Float]
  ) -> [Float]? {
    switch name {
    case "A_log" where entry.shape.count == 2:
      (0..<entry.count).map { Float(log(Double($0 % entry.columns + 1))) }
    case "A_log": draw { logRate(options, &$0) }
    case "dt_bias", "dt_proj.bias": draw { timeStepBias(options, &$0) }
    case "D": draw { _ in 1 }
    default: nil
    }
  }

  /// The logarithm of a rate of the range that the options name, uniform in the rate, or in its logarithm where they say so.
  static func logRate(_ options: Initialization, _ generator: inout SplitMix64) -> Double {
    let (low, high) = (options.rate.lowerBound, options.rate.upperBound)
    let place = generator.uniform()
    return options.isRateLogarithmic ? log(low) + place * (log(high) - log(low)) : log(low + place * (high - low))
  }

  /// A bias that alone gives a time step of the range that the options name, uniform in its logarithm.
  static func timeStepBias(_ options: Initialization, _ generator: inout SplitMix64) -> Double {
    let (low, high) = (log(options.timeStep.lowerBound), log(options.timeStep.upperBound))
    let step = max(exp(low + generator.uniform() * (high - low)), 1e-6)
    return step + log(-expm1(-step))
  }
}
