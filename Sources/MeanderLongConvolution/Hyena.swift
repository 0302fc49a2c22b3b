import Glibc
import MeanderErrors
import MeanderFiles
import MeanderKernels
import MeanderModels

/// The long convolution, for programs that import it. What is linked with it is linked with FFTW, which is GPL-2+.
public enum LongConvolution {
  /// Lets `Model.load` and the trainer know models of long convolutions. Calling it again changes nothing.
  public static func register() { Registry.add(Hyena.self) }
}

/// Language models of Hyena layers (Poli and others 2023), each with a gated feed-forward behind it, and attention in the layers
/// that `layer_types` names. The layout is Meander's own; its `model_type` is `hyena`.
package struct Hyena: Architecture {
  package static let name = "hyena"

  package static func recognizes(_ configuration: JSON) -> Bool { configuration["model_type"]?.string == name }

  package let stack: HyenaStack
  /// K
  package let length: Int
  /// How implicit filters are made; nil where every tap is a parameter.
  private let network: ImplicitFilter.Sizes?

  package init(_ configuration: inout Configuration) throws {
    stack = try HyenaStack(&configuration)
    // Twice the period is the largest transform.
    length = try configuration.integer("filter_length", min(stack.positions, 1 << 28), in: 2...1 << 28)
    let kind = try configuration.string("filter", "implicit", among: ["implicit", "explicit"])
    network = kind == "implicit" ? try ImplicitFilter.Sizes(&configuration) : nil
  }

  package var shape: LanguageShape { stack.stack.shape }

  package var arithmetic: String {
    "\(stack.arithmetic) length \(length) filter \(network?.arithmetic ?? "explicit")"
  }

  package func build(from reader: WeightReader) throws -> Blocks {
    let (width, stages) = (stack.mixer.width, stack.mixer.order - 1)
    return try stack.build(from: reader) { _, prefix in
      let taps: FilterTaps
      if let network {
        taps = .implicit(
          try ImplicitFilter(network, channels: width, stages: stages, length: length, prefix: prefix, from: reader))
      } else {
        taps = .explicit(try reader.matrix(prefix + "taps", rows: length, columns: stages * width))
      }
      return try FourierFilter(channels: width, stages: stages, length: length, taps)
    }
  }

  /// As in a stack. The last layer of a filter's network begins so that a filter's taps have squares that add up to one, about; taps
  /// that are parameters are drawn to the same effect, decaying at the rates that implicit ones have.
  package func initialValues(
    of entry: Parameters.Entry, _ options: Initialization, using generator: inout SplitMix64
  ) throws -> [Float] {
    func draw(_ value: (inout SplitMix64) -> Double) -> [Float] { (0..<entry.count).map { _ in Float(value(&generator)) } }
    let width = stack.mixer.width
    // Σ a² exp(-2 δ s/L) over the lags is about a²·L / 2δ.
    func size(_ decay: Float) -> Double { (2 * Double(decay) / Double(length)).squareRoot() }
    if entry.name.hasSuffix("mixer.skip") { return draw { $0.normal() } }
    if let network {
      switch entry.name.split(separator: ".").suffix(3).joined(separator: ".") {
      case "mixer.filter.frequency": return [Float](repeating: Float(network.frequency), count: entry.count)
      case "filter.out.weight":
        let decays = network.decays(width)
        return (0..<entry.count).map { index in
          let bound = size(decays[index / entry.columns % width]) * (6 / Double(entry.columns)).squareRoot()
          return Float((2 * generator.uniform() - 1) * bound)
        }
      default: break
      }
    } else if entry.name.hasSuffix("filter.taps") {
      let rates = (0..<width).map { 3 + 12 * Float($0) / Float(max(1, width - 1)) }
      return (0..<entry.count).map { index in
        let (lag, rate) = (index / entry.columns, rates[index % width])
        return Float(generator.normal() * size(rate) * exp(-Double(rate) * Double(lag) / Double(length)))
      }
    }
    return stack.stack.initialValues(of: entry, options, using: &generator)
  }
}
