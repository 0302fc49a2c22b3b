import Meander
import MeanderFiles
import MeanderModelPasskey
import MeanderModelReader
import MeanderTestSupport

/// The models that the suites run over.
enum TestModel: String, CaseIterable, Sendable {
  case passkey, reader
  /// One layer of the 130m shape with random weights over bytes: D 768, H 24, P 64, N 128.
  case layer130m
  /// A small random model over a vocabulary of byte pairs.
  case pairs

  func load(_ engine: Engine, compute: Compute = .fp32) async throws -> Model {
    switch self {
    case .passkey, .reader: try await Model.load(rawValue, engine: engine, compute: compute)
    case .layer130m: try await Model.load(RandomModel.layer130m.folder, engine: engine, compute: compute)
    case .pairs: try await Model.load(RandomModel.pairs.folder, engine: engine, compute: compute)
    }
  }

  /// How much a test may feed it: a few chunks, and not a multiple of one.
  var tokens: Int { self == .layer130m ? 1100 : 2600 }
}

/// A directory with a random model in Hugging Face's layout, written once a process.
struct RandomModel: Sendable {
  let folder: String

  static let layer130m = RandomModel("layer130m", width: 768, heads: 24, headWidth: 64, stateSize: 128, layers: 1)
  static let pairs = RandomModel(
    "pairs", width: 48, heads: 6, headWidth: 16, stateSize: 24, layers: 2, tokenizer: "tokenizers/bpe-neox")
  /// Over a vocabulary whose template begins a text with a token.
  static let begun = RandomModel(
    "begun", width: 32, heads: 4, headWidth: 16, stateSize: 8, layers: 1, tokenizer: "tokenizers/bpe-llama3")

  private init(
    _ name: String, width: Int, heads: Int, headWidth: Int, stateSize: Int, layers: Int, tokenizer: String? = nil
  ) {
    folder = temporaryFolder(name)
    do {
      var vocabulary = 256
      if let tokenizer {
        let path = Fixture.path(tokenizer) + "/tokenizer.json"
        let bytes = try FileBytes.mapping(path)
        try writeFile(folder + "/tokenizer.json", bytes.copy(0..<bytes.count))
        vocabulary = try Tokenizer.load(ModelFiles(folder: folder)).vocabularyCount
      }
      try writeFile(folder + "/config.json", Array("""
        {"model_type": "mamba2", "vocab_size": \(vocabulary), "hidden_size": \(width), "state_size": \(stateSize),
         "num_hidden_layers": \(layers), "num_heads": \(heads), "head_dim": \(headWidth),
         "expand": \(heads * headWidth / width), "n_groups": 1, "conv_kernel": 4, "tie_word_embeddings": true,
         "time_step_limit": [0.0, Infinity]}
        """.utf8))
      var random = SeededGenerator(seed: 130)
      var writer = SafeTensorsWriter()
      func add(_ name: String, _ shape: [Int], _ values: [Float]) throws {
        try writer.add(name, shape, floats: values)
      }
      let inner = heads * headWidth
      let channels = inner + 2 * stateSize
      try add("backbone.embeddings.weight", [vocabulary, width], random.normal(vocabulary * width, scale: 0.1))
      try add("backbone.norm_f.weight", [width], [Float](repeating: 1, count: width))
      for layer in 0..<layers {
        let prefix = "backbone.layers.\(layer)."
        let rows = inner + channels + heads
        try add(prefix + "norm.weight", [width], [Float](repeating: 1, count: width))
        try add(prefix + "mixer.in_proj.weight", [rows, width], random.normal(rows * width, scale: 0.05))
        try add(prefix + "mixer.conv1d.weight", [channels, 1, 4], random.normal(channels * 4, scale: 0.3))
        try add(prefix + "mixer.conv1d.bias", [channels], random.normal(channels, scale: 0.1))
        try add(prefix + "mixer.A_log", [heads], random.uniform(heads, in: -4...2))
        try add(prefix + "mixer.dt_bias", [heads], random.uniform(heads, in: -6 ... -1))
        try add(prefix + "mixer.D", [heads], random.normal(heads))
        try add(prefix + "mixer.norm.weight", [inner], [Float](repeating: 1, count: inner))
        try add(prefix + "mixer.out_proj.weight", [width, inner], random.normal(width * inner, scale: 0.05))
      }
      try writer.write(to: folder + "/model.safetensors")
    } catch {
      preconditionFailure("the random model \(name) cannot be written: \(error)")
    }
  }
}

/// `count` bytes that look like text: words, lines, and characters of one to four bytes.
func someText(_ count: Int, seed: UInt64 = 7) -> [UInt8] {
  var random = SeededGenerator(seed: seed)
  let words = ["state", "the", " of", "river", "né", "日本", "🌊", "\n", "12345", "key", ", ", "don't", "recurrent"]
  var bytes: [UInt8] = []
  while bytes.count < count {
    bytes += words[Int.random(in: 0..<words.count, using: &random)].utf8
    bytes.append(UInt8(ascii: " "))
  }
  return Array(bytes.prefix(count))
}

/// `bytes` in pieces of random, mostly awkward sizes.
func cut(_ bytes: [UInt8], seed: UInt64) -> [[UInt8]] {
  var random = SeededGenerator(seed: seed)
  let sizes = [1, 2, 3, 5, 7, 63, 64, 65, 257, 511, 512, 513, 1024]
  var pieces: [[UInt8]] = []
  var rest = bytes[...]
  while !rest.isEmpty {
    let piece = rest.prefix(sizes[Int.random(in: 0..<sizes.count, using: &random)])
    pieces.append(Array(piece))
    rest = rest[piece.endIndex...]
  }
  return pieces
}

/// Waits until `condition` holds; false when the test's time is over first.
func eventually(_ condition: () -> Bool) async -> Bool {
  while !condition() {
    if Task.isCancelled { return false }
    await Task.yield()
  }
  return true
}
