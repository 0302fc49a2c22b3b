import MeanderFiles
import MeanderModels
import MeanderTasks

/// What `lab capacity` trains and measures: models of growing state, by N at one width and by width at one N, each over longer
/// and longer training lengths.
package struct CapacityPlan: Sendable {
  /// A model by the size of its state.
  package struct Size: Sendable, Hashable {
    package let layers: Int
    package let width: Int
    package let headWidth: Int
    /// N
    package let state: Int

    package init(layers: Int, width: Int, headWidth: Int, state: Int) {
      self.layers = layers
      self.width = width
      self.headWidth = headWidth
      self.state = state
    }

    /// Recurrent floats of the whole model, K - 1 = 3 taps of each convolution included, as the published laws count.
    package var stateFloats: Int {
      let inner = 2 * width
      return layers * (inner * state + 3 * (inner + 2 * state))
    }

    package var name: String { "d\(width)-L\(layers)-N\(state)" }

    /// The model of another mixer whose state has at most as many numbers, and of Mamba-2 itself the one of this size.
    package func model(_ mixer: String) throws -> SizedModel {
      try Registry.model(
        mixer, StateShape(width: width, layers: layers, headWidth: headWidth, stateSize: state), stateFloats: stateFloats)
    }
  }

  package var sizes: [Size]
  /// Training lengths in tokens (bytes), ascending; a longer one goes on from the model of the one before it.
  package var trained: [Int]
  /// Places for tokens in the rows that each model learns from at the first training length, at the second, …; the last stands for
  /// all behind it. Not empty. Rows of tasks are shorter than the longest: what was read is in the report.
  package var tokens: [Int]
  /// Rows of a step, as long as two of them have no more than `placesPerStep` places.
  package var batch: Int
  package var placesPerStep = 1 << 12
  package var seeds: Int
  /// Up to where losses are measured, in bytes.
  package var longest: Int
  /// Streams of held-out text, and pass keys for each length.
  package var streams: Int
  package var samples: Int
  /// Beginnings of held-out text on which the loss within a training length is measured.
  package var windows = 32
  /// Lengths at which keys are asked for; recall is the last one before the first failure.
  package var recallLengths: [Int]
  /// Whether the points are meant to be fitted.
  package var fits: Bool
  /// The mixers to be compared, each at every size: at the state of a Mamba-2 of that size.
  package var mixers = ["mamba2"]
  /// Numbers of pairs that associative recall is taught up to and asked for; none leaves it out.
  package var pairs: [Int] = []
  /// What rows are drawn from at the first training length, at the second, …; the last stands for all behind it. Not empty.
  package var mixtures = [Mixture(text: 0.2, keys: 0.3, pairs: 0.5)]

  /// Shares of rows where pairs are taught: running text, pass keys, pairs up to as many as are asked for, and at most eight of
  /// them, which are learned first and teach the others. Where no pairs are, 60 % are text and 40 % keys.
  package struct Mixture: Sendable {
    package var text, keys, pairs: Double
    package var fewPairs = 0.0
  }

  /// A smoke run: three states, one seed, few tokens. It fits nothing.
  package static let quick = CapacityPlan(
    sizes: [8, 16, 32].map { Size(layers: 2, width: 32, headWidth: 32, state: $0) }, trained: [128, 256],
    tokens: [1 << 19], batch: 8,
    seeds: 1, longest: 1 << 13, streams: 4, samples: 10, recallLengths: quarterOctaves(from: 256, to: 1 << 11),
    fits: false)

  /// Eight states from 0.07 to 1.2 million floats at d 128 and four layers, which straddle the zeros of the published
  /// laws (0.47 and 0.86 million), and two other widths at N 256; at least 20 million tokens each, half of them at the shortest
  /// training length, where recall is taught, and most of the others text; two seeds.
  package static let paper = CapacityPlan(
    sizes: [64, 128, 256, 384, 512, 704, 896, 1152].map { Size(layers: 4, width: 128, headWidth: 64, state: $0) }
      + [64, 256].map { Size(layers: 4, width: $0, headWidth: 64, state: 256) },
    trained: [256, 512, 1024, 2048, 4096, 8192], tokens: [18_000_000, 3_300_000], batch: 8, seeds: 2,
    longest: 1 << 20, streams: 4, samples: 40,
    recallLengths: quarterOctaves(from: 256, to: 1 << 20), fits: true, pairs: [8, 16, 32, 64],
    mixtures: [
      Mixture(text: 0.25, keys: 0.25, pairs: 0.1, fewPairs: 0.4), Mixture(text: 0.5, keys: 0.2, pairs: 0.1, fewPairs: 0.2),
    ])

  /// From `first`, each 2^(1/4) times the one before, to `last`.
  package static func quarterOctaves(from first: Int, to last: Int) -> [Int] {
    var lengths: [Int] = []
    var octave = first
    while octave <= last {
      for factor in [1.0, 1.189207115, 1.414213562, 1.681792831] {
        let length = Int((Double(octave) * factor).rounded())
        if length <= last { lengths.append(length) }
      }
      octave *= 2
    }
    return lengths
  }

  /// Tokens of the training length at `index` of `trained`.
  package func tokens(at index: Int) -> Int { tokens[min(index, tokens.count - 1)] }

  /// Tokens that a model learns from in all.
  package var allTokens: Int { trained.indices.reduce(0) { $0 + tokens(at: $1) } }

  /// The recipe of one training: text and pass keys in real text, never powered, from scratch or from the model in
  /// `start`, at the training length at `index` of `trained`.
  func recipe(_ model: SizedModel, length index: Int, seed: Int, text: [String], start: String?, output: String) -> JSON {
    let length = trained[index]
    let model = JSON(model.configuration + [("meander", JSON([("purposes", JSON(["language", "recall"]))]))])
    // A few answers in a step would go under among its thousands of other tokens.
    let weight = ("answer_weight", JSON(20))
    let mixture = pairs.isEmpty
      ? Mixture(text: 0.6, keys: 0.4, pairs: 0) : mixtures[min(index, mixtures.count - 1)]
    func pairing(_ share: Double, upTo most: Int) -> JSON? {
      share == 0 ? nil : JSON([
        ("source", .string("task")), ("share", JSON(share)), ("task", .string("mqar")),
        ("options", JSON([("pairs", .array([JSON(1), JSON(most)]))])), ("length", .array([JSON(0), JSON(length / 4)])), weight,
      ])
    }
    let key = JSON([
      ("source", .string("task")), ("share", JSON(mixture.keys)), ("task", .string("passkey")),
      ("options", JSON([("wordings", JSON(["landmark"])), ("trailing_space", JSON(0)), ("opening", JSON(0))])),
      ("length", .array([JSON(16), JSON(max(16, length - 140))])),
      ("fillers", .array([JSON([("kind", .string("text")), ("paths", JSON(text))])])), weight,
    ])
    let running = JSON([
      ("source", .string("text")), ("share", JSON(mixture.text)), ("carry", .string("none")), ("paths", JSON(text)),
    ])
    let data = [running, key] + [
      pairing(mixture.pairs, upTo: pairs.max() ?? 0), pairing(mixture.fewPairs, upTo: min(8, pairs.max() ?? 0)),
    ].compactMap { $0 }
    let batch = min(batch, max(2, placesPerStep / length))
    let steps = max(1, tokens(at: index) / (batch * length))
    return JSON([
      start.map { ("start", .string($0)) } ?? ("model", model), ("data", .array(data)),
      ("batch", JSON(batch)),
      ("length", JSON(length)), ("steps", JSON(steps)), ("seed", JSON(seed)),
      (
        "optimizer",
        JSON([
          ("rate", JSON(start == nil ? 0.004 : 0.002)), ("beta2", JSON(0.95)), ("decay", JSON(0.1)), ("clip", JSON(1)),
        ])
      ),
      (
        "schedule",
        JSON([
          ("kind", .string("wsd")), ("warm_up", JSON(min(50, steps / 4))), ("decay_share", JSON(0.2)),
          ("final", JSON(0.05)),
        ])
      ),
      ("checkpoint", JSON([("seconds", JSON(300))])), ("output", .string(output)),
    ])
  }
}
