import MeanderErrors
import MeanderFiles
import MeanderKernels

/// Falcon-Mamba language models (Zuo and others 2024): Mamba with norms without weights on dt, B and C.
package struct FalconMamba: Architecture {
  package static let name = "falcon_mamba"

  package static func recognizes(_ configuration: JSON) -> Bool { configuration["model_type"]?.string == "falcon_mamba" }

  let mamba: Mamba1
  let selectionEpsilon: Float

  package init(_ configuration: inout Configuration) throws {
    selectionEpsilon = Float(try configuration.float("mixer_rms_eps", 1e-6, in: 0...1))
    mamba = try Mamba1(
      huggingFace: &configuration, selectionNorms: .weightless(epsilon: selectionEpsilon))
  }

  package var shape: LanguageShape { mamba.shape }
  package var arithmetic: String { mamba.arithmetic + " selection \(selectionEpsilon)" }
  package func build(from reader: WeightReader) throws -> Blocks { try mamba.build(from: reader) }

  package func initialValues(
    of entry: Parameters.Entry, _ options: Initialization, using generator: inout SplitMix64
  ) throws -> [Float] {
    try mamba.initialValues(of: entry, options, using: &generator)
  }
}
