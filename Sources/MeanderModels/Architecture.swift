import MeanderErrors
import MeanderFiles
import MeanderKernels

/// A published kind of model: how its configuration reads, and which blocks of which tensors it is made of.
///
/// One file and one line in `Registry`. A file holds both halves of the story: the configuration in each style that
/// checkpoints come in, and the names of the tensors.
package protocol Architecture: Sendable {
  /// What `meander inspect` calls it.
  static var name: String { get }

  /// Whether a configuration is one of this architecture's.
  static func recognizes(_ configuration: JSON) -> Bool

  /// The configuration of weights that come without one, from their tensors' shapes by name; nil where they are not of this
  /// architecture.
  static func configuration(of shapes: [String: [Int]]) -> JSON?

  /// A configuration of these sizes, as far as they can be had, for models of bytes that are held against each other at equal state; nil
  /// where the state cannot be chosen apart from the width.
  static func configuration(of shape: StateShape) -> [(String, JSON)]?

  /// Reads the configuration; every key is used, known to carry nothing here, or refused by name.
  init(_ configuration: inout Configuration) throws

  /// The language model's outer sizes.
  var shape: LanguageShape { get }

  /// Everything that the configuration says about the arithmetic, as names and values: a part of the fingerprint.
  ///
  /// Each layout of a checkpoint gives the same text for the same model, and defaults are spelt out.
  var arithmetic: String { get }

  /// Builds the blocks, naming every tensor with its shape.
  func build(from reader: WeightReader) throws -> Blocks

  /// How a parameter begins when the model is trained from scratch. Throws `.unsupported` where nobody has said.
  func initialValues(
    of entry: Parameters.Entry, _ options: Initialization, using generator: inout SplitMix64
  ) throws -> [Float]
}

extension Architecture {
  package static func configuration(of shapes: [String: [Int]]) -> JSON? { nil }
  package static func configuration(of shape: StateShape) -> [(String, JSON)]? { nil }
}

/// What stands around the blocks of a language model.
package struct LanguageShape: Sendable {
  /// D
  package var width: Int
  /// L
  package var layers: Int
  /// V, as many rows as the embedding has.
  package var vocabulary: Int
  /// What every architecture's configuration may say for Meander alone.
  package var intent = ModelIntent()
}

/// What a model was made for, as the `meander` object of its configuration says.
package struct ModelIntent: Sendable, Hashable {
  /// `language` (its surprise means something) and `recall` (it answers what it read); empty when nothing is said.
  package var purposes: [String] = []
  /// The longest stream that it saw in training with one state, in tokens.
  package var trainedLength: Int?
  /// How many tokens an answer of it has, where they all have as many.
  package var answerTokens: Int?
  /// What its attention has that the architecture's own configuration has no words for.
  package var attention: AttentionIntent?

  package init() {}

  /// Reads the `meander` object of a configuration.
  package init(_ configuration: inout Configuration) throws {
    guard var object = try configuration.object("meander") else { return }
    purposes = try object.strings("purposes", [])
    trainedLength = try object.optionalInteger("trained_length", in: 1...Int(Int32.max))
    answerTokens = try object.optionalInteger("answer_tokens", in: 1...Int(Int32.max))
    attention = try AttentionIntent(&object)
    try object.finish()
  }
}

/// The `attention` object in the `meander` object of a configuration.
package struct AttentionIntent: Sendable, Hashable {
  /// Softplus attention, and how it is sharpened (Gao and others 2025).
  package struct Softplus: Sendable, Hashable {
    package var offset: Float
    package var power: Int
  }

  package var softplus: Softplus?
  /// How a transformer knows positions.
  package enum Positions: String, Sendable, CaseIterable {
    /// As its architecture does: rotary ones.
    case rotary
    case none
    /// ALiBi's penalty by distance.
    case linear
    /// T5's learned biases by buckets of distance.
    case buckets
    /// A learned vector for each place, added to the embedding.
    case learned
  }

  package var positions = Positions.rotary
  /// An endless prefix of d² + d numbers a head (NTK-attention, 2024).
  package var hasPrefix = false

  init?(_ configuration: inout Configuration) throws {
    guard var object = try configuration.object("attention") else { return nil }
    if var inner = try object.object("softplus") {
      softplus = Softplus(
        offset: Float(try inner.float("offset", 1, in: 0...1e6)), power: try inner.integer("power", 15, in: 0...64))
      try inner.finish()
    }
    hasPrefix = try object.bool("prefix", false)
    let name = try object.string("positions", "rotary", among: Positions.allCases.map(\.rawValue))
    positions = Positions(rawValue: name) ?? .rotary
    if hasPrefix, softplus != nil { throw object.failure("prefix", "stands beside softplus, and a prefix needs exp") }
    try object.finish()
  }
}
