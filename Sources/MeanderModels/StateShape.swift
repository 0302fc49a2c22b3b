import MeanderErrors
import MeanderFiles
import MeanderKernels

/// The sizes of a small model of bytes whose mixer is to be held against others at equal state.
package struct StateShape: Sendable, Hashable {
  /// D and L.
  package var width, layers: Int
  /// P, where the mixer has heads of values.
  package var headWidth: Int
  /// Numbers of state for each place of a value: N.
  package var stateSize: Int

  package init(width: Int, layers: Int, headWidth: Int, stateSize: Int) {
    (self.width, self.layers, self.headWidth, self.stateSize) = (width, layers, headWidth, stateSize)
  }

  /// Heads of values as wide as the model, or `times` as wide.
  func heads(times: Int = 1) -> Int { times * width / headWidth }

  /// What every configuration begins with.
  func members(_ name: String) -> [(String, JSON)] {
    [
      ("model_type", .string(name)), ("vocab_size", JSON(256)), ("hidden_size", JSON(width)),
      ("num_hidden_layers", JSON(layers)),
    ]
  }

  /// The same for a model of flash-linear-attention's layout, its keys together `heads` times N.
  func linearMembers(_ name: String, heads: Int) -> [(String, JSON)] {
    members(name) + [
      ("intermediate_size", JSON(2 * width)), ("tie_word_embeddings", .bool(true)), ("num_heads", JSON(heads)),
      ("expand_k", JSON(Double(heads * stateSize) / Double(width))),
    ]
  }
}

/// A model of a chosen state.
package struct SizedModel: Sendable {
  package let configuration: [(String, JSON)]
  /// Of the whole state, as `StateLayout.recurrentFloats` counts.
  package let stateFloats: Int
  package let parameters: Int
}

extension StateLayout {
  /// The numbers that the past leaves behind in a recurrent state: K - 1 taps of each channel of a convolution, and everything
  /// else in fp32 but attention's cache and what only keeps the digits that another number cannot hold.
  package var recurrentFloats: Int {
    regions.reduce(0) { sum, region in
      let part = region.name.split(separator: ".").last.map(String.init) ?? ""
      let isCache = ["keys", "values", "far_keys"].contains { part.hasPrefix($0) }
      if region.type != .f32 || region.role == .record || isCache || part.hasSuffix("rest") { return sum }
      guard part == "conv", let width = region.shape.first else { return sum + region.count }
      return sum + region.count / width * (width - 1)
    }
  }
}

extension Registry {
  /// The architectures whose state can be chosen apart from their width.
  package static var sizable: [String] {
    let shape = StateShape(width: 64, layers: 1, headWidth: 32, stateSize: 32)
    return architectures.filter { $0.configuration(of: shape) != nil }.map { $0.name }
  }

  /// The largest model of the architecture called `name` whose state has at most `stateFloats` numbers, at the width, layers and head
  /// width of `shape`.
  ///
  /// Throws `.unsupported` for an architecture that is not known or cannot be sized, and where no model is that small.
  package static func model(_ name: String, _ shape: StateShape, stateFloats: Int) throws -> SizedModel {
    guard let type = architectures.first(where: { $0.name == name }), type.configuration(of: shape) != nil else {
      throw MeanderError(
        .unsupported, "the state of \"\(name)\" cannot be sized", remedy: "Mixers: \(sizable.joined(separator: ", ")).")
    }
    // Sizes that a mixer cannot have are passed over. A layer has a number for each place at the least, and the state grows evenly
    // with N, so two sizes foretell the one that is wanted.
    let sizes = 1...max(1, stateFloats / (shape.layers * shape.width))
    func model(_ size: Int) -> SizedModel? {
      var shape = shape
      shape.stateSize = size
      return type.configuration(of: shape).flatMap { try? sized(type, $0) }
    }
    let ends = sizes.lazy.compactMap { size in model(size).map { (size: size, floats: $0.stateFloats) } }.prefix(2)
    var last = sizes.upperBound
    if let low = ends.first, let high = ends.dropFirst().first, high.floats > low.floats {
      last = min(last, low.size + (stateFloats - low.floats) * (high.size - low.size) / (high.floats - low.floats) + 1)
    }
    let fitting = (1...max(1, last)).reversed().lazy.compactMap { model($0) }.first { $0.stateFloats <= stateFloats }
    guard let fitting else {
      throw MeanderError(
        .unsupported, "no \(name) of width \(shape.width) with \(shape.layers) layers has a state of \(stateFloats) numbers",
        remedy: "Take a larger state.")
    }
    return fitting
  }

  private static func sized(_ type: any Architecture.Type, _ members: [(String, JSON)]) throws -> SizedModel {
    var reader = try Configuration(JSON(members), file: "config.json")
    let architecture = try type.init(&reader)
    try reader.finish()
    var layout = StateLayout()
    let declarations = try WeightReader.declarations { reader in
      let blocks = try architecture.build(from: reader)
      layout = StateLayout()
      _ = blocks.declareState(in: &layout)
    }
    return SizedModel(
      configuration: members, stateFloats: layout.recurrentFloats,
      parameters: declarations.reduce(0) { $0 + ($1.optional ? 0 : $1.shape.reduce(1, *)) })
  }
}
