import MeanderErrors
import MeanderFiles
import MeanderKernels
import MeanderModels
import MeanderTestSupport
import MeanderTraining
import Testing

/// Every pure recurrent mixer's way back: against what the loss does when a parameter moves, whichever way back is taken, and in a
/// whole run from a random beginning.
@Suite struct FamilyGradientTests {
  static let fixtures = [
    "xlstm", "mamba1", "rwkv6", "falcon-mamba", "rwkv4", "rwkv7", "rwkv7-hf", "retnet", "gla", "hgrn2", "delta-net",
    "gated-deltanet", "mamba3", "mamba3-groups", "mamba3-mimo", "mamba3-mimo-norm", "hyena", "hyena-explicit", "hyena-striped",
  ]

  /// Along a parameter's own gradient and along a random direction beside it, the loss changes as the gradient says. The loss is
  /// that of the streaming form.
  @Test(arguments: fixtures)
  func areThoseOfDifferences(fixture: String) throws { try check(fixture) }

  /// Mixers that hybrids alone have: gated short convolutions, Kimi delta attention, lightning attention, the RG-LRU.
  @Test(arguments: [("lfm2", "conv."), ("kimi-linear", "self_attn."), ("minimax", "self_attn."), ("recurrent-gemma", "temporal_block.")])
  func ofHybridsMixersAreThoseOfDifferences(fixture: String, mixer: String) throws { try check(fixture, of: mixer) }

  /// Attention goes over 128 queries at a time.
  @Test func ofSeveralBlocksOfQueriesAreThoseOfDifferences() throws { try check("hyena-striped", of: "self_attn.", tokens: 300) }

  /// Parameters whose names have `part` in them.
  private func check(_ fixture: String, of part: String = "", tokens: Int = 12) throws {
    let model = try GradientTests.model(fixture)
    let worker = try GradientTests.worker(model)
    let prefix = Sample([GradientTests.segment(GradientTests.ids(8))])
    let sample = Sample([GradientTests.segment(GradientTests.ids(tokens))])
    let (_, gradients, _) = try GradientTests.gradients(sample, of: fixture, after: prefix)
    let start = model.makeState()
    _ = worker.measure(prefix, state: start, blocks: try model.blocks())
    func loss() throws -> Double {
      let state = model.makeState()
      state.assign(start)
      let sum = worker.measure(sample, state: state, blocks: try model.blocks())
      return sum.loss / sum.weight
    }
    var generator = SeededGenerator(seed: 5)
    // One of each kind: the last layer's parameters, and what stands around the layers.
    let entries = model.parameters.entries.filter { part.isEmpty || $0.name.contains(part) }
    #expect(!entries.isEmpty)
    let kinds = Dictionary(grouping: entries) { entry in
      entry.name.split(separator: ".").enumerated().filter { $0.offset > 2 || Int($0.element) == nil }
        .map { String($0.element) }.joined(separator: ".")
    }
    for entry in kinds.values.compactMap(\.last) {
      let parameter = model.parameters.matrix(entry)
      let (values, gradient) = (parameter.array(), try #require(gradients[entry.name]))
      func norm(_ x: [Float]) -> Float { max(x.reduce(0) { $0 + $1 * $1 }.squareRoot(), 1e-12) }
      let random = generator.normal(entry.count)
      let direction = zip(gradient, random).map { $0 / norm(gradient) + $1 / norm(random) }
      let slope = zip(gradient, direction).reduce(0) { $0 + Double($1.0 * $1.1) }
      // A step that moves the loss so little that neither its curve nor a kink counts.
      let largest = 4e-3 * max(norm(values), 0.1 * Float(entry.count).squareRoot()) / norm(direction)
      let size = min(largest, Float(0.0015 / max(abs(slope), 1e-9)))
      func at(_ sign: Float) throws -> Double {
        let moved = zip(values, direction).map { $0 + sign * size * $1 }
        parameter.copy(from: Matrix(moved, rows: entry.rows, columns: entry.columns))
        return try loss()
      }
      let difference = try at(1) - at(-1)
      parameter.copy(from: Matrix(values, rows: entry.rows, columns: entry.columns))
      let expected = 2 * Double(size) * slope
      #expect(
        abs(difference - expected) <= 0.01 * abs(expected) + 4e-6, "\(entry.name): \(difference) where \(expected) was expected")
    }
  }

  /// A power of a stretch is known for Mamba-2's heads alone.
  @Test(arguments: fixtures)
  func aPoweredStretchIsRefused(fixture: String) throws {
    var segment = GradientTests.segment(GradientTests.ids(9))
    segment.repeats = 4
    let sample = Sample([segment, GradientTests.segment(GradientTests.ids(5))])
    let error = #expect(throws: MeanderError.self) { try GradientTests.gradients(sample, of: fixture) }
    #expect(error?.code == .unsupported)
  }

  static let models: [(String, [(String, JSON)])] = [
    ("mamba", [("state_size", JSON(4))]), ("falcon_mamba", [("state_size", JSON(4))]), ("rwkv", []),
    (
      "rwkv6",
      [
        ("original_layout", .bool(true)), ("head_size", JSON(8)), ("mix_rank", JSON(2)), ("decay_rank", JSON(3)),
        ("intermediate_size", JSON(32)),
      ]
    ),
    (
      "rwkv7",
      [
        ("head_dim", JSON(8)), ("decay_low_rank_dim", JSON(3)), ("a_low_rank_dim", JSON(3)), ("v_low_rank_dim", JSON(2)),
        ("gate_low_rank_dim", JSON(4)), ("intermediate_size", JSON(32)),
      ]
    ),
    (
      "hyena",
      [
        ("num_attention_heads", JSON(2)), ("intermediate_size", JSON(32)), ("filter_length", JSON(96)), ("filter_features", JSON(5)),
        ("filter_width", JSON(8)), ("layer_types", JSON(["hyena", "full_attention"])),
      ]
    ),
    ("xlstm", [("num_heads", JSON(2)), ("ffn_round_up_to_multiple_of", JSON(8))]),
    ("retnet", [("num_heads", JSON(2)), ("intermediate_size", JSON(32))]),
    ("gla", [("num_heads", JSON(2)), ("intermediate_size", JSON(32))]),
    ("hgrn2", [("expand_ratio", JSON(8)), ("intermediate_size", JSON(32))]),
    ("delta_net", [("num_heads", JSON(2)), ("intermediate_size", JSON(32))]),
    ("gated_deltanet", [("num_heads", JSON(2)), ("head_dim", JSON(8)), ("intermediate_size", JSON(32))]),
    ("mamba3", [("head_dim", JSON(8)), ("state_size", JSON(8)), ("intermediate_size", JSON(32))]),
    (
      "mamba3",
      [
        ("head_dim", JSON(8)), ("state_size", JSON(8)), ("intermediate_size", JSON(32)), ("is_mimo", .bool(true)),
        ("mimo_rank", JSON(2)),
      ]
    ),
  ]

  /// What asks, what is asked for and what a gate opens begin within 1/√fan-in, whatever the width: at a deviation of 0.02 a narrow
  /// transformer's scores are all alike, and it learns to copy several times later, or not at all.
  @Test(arguments: ["llama", "qwen3", "hyena"], [64, 256])
  func projectionsBeginAtTheScaleOfTheirWidth(type: String, width: Int) throws {
    let configuration = JSON([
      ("model_type", .string(type)), ("vocab_size", JSON(64)), ("hidden_size", JSON(width)), ("num_hidden_layers", JSON(2)),
      ("num_attention_heads", JSON(4)), ("num_key_value_heads", JSON(4)), ("head_dim", JSON(width / 4)),
      ("intermediate_size", JSON(2 * width)), ("max_position_embeddings", JSON(64)), ("tie_word_embeddings", .bool(true)),
    ])
    let model = try TrainableModel(configuration, file: "config.json", table: .best)
    try model.initialize(Initialization())
    let projections = model.parameters.entries.filter { entry in
      ["q_proj.weight", "k_proj.weight", "v_proj.weight", "in_proj.weight", "gate_proj.weight", "up_proj.weight"].contains {
        entry.name.hasSuffix($0)
      }
    }
    #expect(projections.count >= 6)
    for entry in projections {
      let values = model.parameters.matrix(entry).array()
      let deviation = (values.reduce(0) { $0 + Double($1) * Double($1) } / Double(values.count)).squareRoot()
      let expected = 1 / (3 * Double(entry.columns)).squareRoot()
      #expect(abs(deviation / expected - 1) < 0.05, "\(entry.name): \(deviation)")
    }
  }

  @Test(arguments: models.indices)
  func aRunFromARandomBeginningLearns(model: Int) throws {
    let (type, sizes) = Self.models[model]
    let configuration = JSON(
      [
        ("model_type", .string(type)), ("vocab_size", JSON(256)), ("hidden_size", JSON(16)), ("num_hidden_layers", JSON(2)),
      ] + sizes)
    let bench = try TrainerTests.Bench([
      ("model", configuration), ("steps", JSON(40)), ("optimizer", JSON([("rate", JSON(0.01))])),
    ])
    let losses = try bench.run()
    let (first, last) = (losses.prefix(5).reduce(0, +) / 5, losses.suffix(5).reduce(0, +) / 5)
    #expect(losses.allSatisfy(\.isFinite) && last < first - 1, "\(type): \(first) to \(last)")
  }
}
