import MeanderErrors
import MeanderFiles
import MeanderKernels

/// Hyena models whose filters were distilled to modes (`ModalFilter`): recurrent ones, that need no transforms. `meander distill`
/// writes them; the layout is `hyena`'s but for the filters', and `model_type` is `hyena_modal`.
package struct HyenaModal: Architecture {
  package static let name = "hyena_modal"

  package static func recognizes(_ configuration: JSON) -> Bool { configuration["model_type"]?.string == name }

  private let stack: HyenaStack
  /// Per layer, how many modes each channel has; 0 where the layer attends.
  private let modes: [Int]

  package init(_ configuration: inout Configuration) throws {
    stack = try HyenaStack(&configuration)
    modes = try configuration.integers("filter_modes", in: 0...1 << 12)
    guard modes.count == stack.stack.shape.layers else {
      throw configuration.failure("filter_modes", "names \(modes.count) layers, and there are \(stack.stack.shape.layers)")
    }
    guard zip(modes, stack.stack.attends).allSatisfy({ $0 > 0 || $1 }) else {
      throw configuration.failure("filter_modes", "leaves a filter without a mode")
    }
  }

  package var shape: LanguageShape { stack.stack.shape }

  package var arithmetic: String { "\(stack.arithmetic) modes \(modes)" }

  package func build(from reader: WeightReader) throws -> Blocks {
    try stack.build(from: reader) { layer, prefix in
      try ModalFilter(
        channels: stack.mixer.width, stages: stack.mixer.order - 1, modes: modes[layer], prefix: prefix, from: reader)
    }
  }
}
