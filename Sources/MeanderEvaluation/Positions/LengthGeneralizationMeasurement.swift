import Meander
import MeanderErrors
import MeanderFiles
import MeanderTasks
import MeanderTraining
import Synchronization

/// `lab length-generalisation`: what different ways to know positions, and mixers that need none, make of inputs far longer than those
/// they were trained on (the question of Kazemnejad and others 2023, asked of recurrent and convolutional models as well).
///
/// Every model is trained from scratch on short examples of one task and then answers longer and longer ones. A byte of an answer counts
/// where it is the likeliest behind the right ones before it, an answer where all of its bytes do: it is what greedy decoding would have
/// said. A unit is one scheme, task and seed.
package struct LengthGeneralizationMeasurement: Measurement {
  package static let name = "length-generalisation"

  /// A way to mix a context.
  package struct Scheme: Sendable {
    package let name: String
    /// The model's configuration beside its sizes.
    let members: [(String, JSON)]
  }

  /// A kind of example, whose size makes it about as long as asked for.
  package struct Kind: Sendable {
    package let name: String
    let task: String
    /// Bytes for each of what the task counts, and the option that says how many.
    let bytesPerItem: Int
    let option: String
    var others: [(String, JSON)] = []
  }

  package var schemes: [Scheme]
  package var kinds: [Kind]
  package var seeds: Int
  package var steps: Int
  package var batch = 16
  /// Bytes of the longest example in training, and of those that are asked for afterwards.
  package var trained = 128
  package var lengths: [Int]
  package var samples: Int
  package var width = 64
  package var layers = 3
  /// Where models and checkpoints are kept.
  package let work: String

  package init(
    schemes: [Scheme], kinds: [Kind], seeds: Int, steps: Int, lengths: [Int], samples: Int, work: String
  ) {
    (self.schemes, self.kinds, self.seeds, self.steps) = (schemes, kinds, seeds, steps)
    (self.lengths, self.samples, self.work) = (lengths.sorted(), samples, work)
  }

  /// Everything that is compared, and what a transformer's is called in its configuration.
  package static let schemes: [Scheme] =
    [("none", "none"), ("rotary", "rotary"), ("ALiBi", "linear"), ("T5 bias", "buckets"), ("learned absolute", "learned")].map {
      Scheme(
        name: $0.0,
        members: [
          ("model_type", .string("llama")), ("num_attention_heads", JSON(4)), ("num_key_value_heads", JSON(4)),
          ("meander", JSON([("attention", JSON([("positions", .string($0.1))]))])),
        ])
    } + [
      Scheme(
        name: "Mamba-2",
        members: [
          ("model_type", .string("mamba2")), ("state_size", JSON(32)), ("num_heads", JSON(4)),
          ("expand", JSON(2)), ("n_groups", JSON(1)), ("conv_kernel", JSON(4)),
        ]),
      Scheme(
        name: "RWKV-7",
        members: [
          ("model_type", .string("rwkv7")), ("head_dim", JSON(16)), ("decay_low_rank_dim", JSON(8)), ("a_low_rank_dim", JSON(8)),
          ("v_low_rank_dim", JSON(8)), ("gate_low_rank_dim", JSON(16)),
        ]),
      Scheme(name: "LSTM", members: [("model_type", .string("lstm"))]),
      Scheme(
        name: "Hyena",
        members: [("model_type", .string("hyena")), ("num_attention_heads", JSON(4)), ("filter_features", JSON(9))]),
    ]

  package static let kinds: [Kind] = [
    Kind(name: "copying", task: "copying", bytesPerItem: 2, option: "count"),
    Kind(name: "addition", task: "addition", bytesPerItem: 3, option: "digits"),
    Kind(name: "addition with hints", task: "addition", bytesPerItem: 6, option: "digits", others: [("style", .string("hints"))]),
    Kind(name: "addition by steps", task: "addition", bytesPerItem: 12, option: "digits", others: [("style", .string("trace"))]),
    Kind(name: "sorting", task: "sorting", bytesPerItem: 2, option: "count"),
    Kind(name: "associative recall", task: "mqar", bytesPerItem: 4, option: "pairs"),
  ]

  package var title: String { "Length generalization" }

  package var settings: [(String, JSON)] {
    [
      ("schemes", JSON(schemes.map(\.name))), ("tasks", JSON(kinds.map(\.name))), ("steps", JSON(steps)), ("batch", JSON(batch)),
      ("trained_length", JSON(trained)), ("samples", JSON(samples)), ("width", JSON(width)), ("layers", JSON(layers)),
      ("length_unit", .string("bytes")), ("lengths", .array(lengths.map { JSON($0) })),
    ]
  }

  private var cells: [(scheme: Int, kind: Int, seed: Int)] {
    (0..<seeds).flatMap { seed in
      kinds.indices.flatMap { kind in schemes.indices.map { ($0, kind, seed) } }
    }
  }

  package var units: [MeasurementUnit] {
    cells.map {
      MeasurementUnit("\(schemes[$0.scheme].name)/\(kinds[$0.kind].name)/\($0.seed)", bytes: steps * batch * trained)
    }
  }

  package func measure(_ unit: Int, on stream: LabStream) async throws -> JSON {
    let cell = cells[unit]
    let (scheme, kind) = (schemes[cell.scheme], kinds[cell.kind])
    let folder = "\(work)/\(scheme.name)-\(kind.name)-\(cell.seed)".map { $0 == " " ? "_" : String($0) }.joined()
    if FileStatus("\(folder)/model.safetensors") == nil {
      let recipe = try Recipe(recipe(scheme, kind, seed: cell.seed + Int(clamping: stream.seed), folder), path: "recipe.json")
      try await LabTraining.run(recipe, meter: stream.meter)
    }
    // From the log, whoever trained it and in however many sittings.
    let training = try TrainingRun.totals(of: folder).seconds
    let clock = ContinuousClock()
    let start = clock.now
    // A transformer sees all of an example, whatever its length.
    let model = try await Model.load(folder, engine: Engine(threads: 1), context: .full(bytes: 1 << 26))
    var answers: [JSON] = []
    var bytes: [JSON] = []
    for length in lengths {
      var (whole, share) = (0.0, 0.0)
      for number in 0..<samples {
        let one = try await rightShare(kind, length, number, model, seed: stream.seed)
        whole += one == 1 ? 1 : 0
        share += one
      }
      answers.append(JSON(whole / Double(samples)))
      bytes.append(JSON(share / Double(samples)))
    }
    return JSON([
      ("accuracy", .array(answers)), ("bytes", .array(bytes)), ("parameters", JSON(model.parameterCount)),
      ("seconds_training", JSON(training)), ("seconds", JSON(training + (clock.now - start) / .seconds(1))),
    ])
  }

  /// An example of a task of about so many bytes.
  private func task(_ kind: Kind, _ counts: ClosedRange<Int>) -> [(String, JSON)] {
    [(kind.option, .array([JSON(counts.lowerBound), JSON(counts.upperBound)]))] + kind.others
  }

  /// How many of what a task counts fill `length` bytes. A vocabulary of bytes holds no more than 127 pairs: longer recall has gaps.
  private func count(_ kind: Kind, _ length: Int) -> Int { max(1, min(kind.task == "mqar" ? 32 : .max, length / kind.bytesPerItem)) }

  /// The share of an answer's bytes that are the likeliest behind the right ones before them.
  private func rightShare(_ kind: Kind, _ length: Int, _ number: Int, _ model: Model, seed: UInt64) async throws -> Double {
    let count = count(kind, length)
    let made = try RecallTasks.make(
      kind.task, Configuration(JSON(task(kind, count...count)), file: "task"), file: "task")
    var generator = TaskGenerator(seed: seed &+ 0x5EED, sample: UInt64(length) << 24 | UInt64(number))
    let filler = kind.task == "mqar" ? max(0, length - 4 * count) : 0
    let example = try made.example(filler: filler, depth: nil, using: &generator)
    var reader = ExampleReader(
      example, filler: try (made.filler ?? RepeatedFiller.classic).run(generator.fork()), closesLines: made.filler == nil)
    var ids: [Int32] = []
    var answers: [Int] = []
    while let part = try reader.next() {
      if case .answer = part { answers += ids.count..<ids.count + part.bytes.count }
      ids += part.bytes.map { Int32($0) }
    }
    let likeliest = Mutex<[Int]>([])
    try await Session(model).feed(ids: ids) { rows, logits in
      let width = logits.count / rows
      likeliest.withLock { known in
        for row in 0..<rows {
          let own = logits[row * width..<(row + 1) * width]
          known.append((own.indices.max { own[$0] < own[$1] } ?? own.startIndex) - own.startIndex)
        }
      }
    }
    // What a token is told by are the logits behind the one before it; a question stands before every answer.
    let told = likeliest.withLock { $0 }
    let right = answers.count { $0 > 0 && told[$0 - 1] == Int(ids[$0]) }
    return Double(right) / Double(max(1, answers.count))
  }

  private func recipe(_ scheme: Scheme, _ kind: Kind, seed: Int, _ output: String) -> JSON {
    let longest = lengths.last ?? trained
    let model = JSON(
      scheme.members + [
        ("vocab_size", JSON(256)), ("hidden_size", JSON(width)), ("num_hidden_layers", JSON(layers)),
        ("tie_word_embeddings", .bool(true)),
      ] + (["llama", "hyena"].contains(scheme.members[0].1.string)
        ? [
          ("intermediate_size", JSON(2 * width)), ("head_dim", JSON(width / 4)), ("num_key_value_heads", JSON(4)),
          ("max_position_embeddings", JSON(2 * longest)),
        ].filter { member in !scheme.members.contains { $0.0 == member.0 } } : [])
        + (scheme.members[0].1.string == "rwkv7" ? [("intermediate_size", JSON(2 * width))] : [])
        + (scheme.members[0].1.string == "mamba2" ? [("head_dim", JSON(width / 2))] : []))
    let filler = kind.task == "mqar" ? trained / 2 : 0
    let source = JSON([
      ("source", .string("task")), ("task", .string(kind.task)), ("options", JSON(task(kind, 1...count(kind, trained - filler)))),
      ("length", .array([JSON(0), JSON(filler)])), ("echo", JSON(0)),
    ])
    return JSON([
      ("model", model), ("data", .array([source])), ("batch", JSON(batch)), ("length", JSON(trained)), ("steps", JSON(steps)),
      ("seed", JSON(seed)),
      ("optimizer", JSON([("rate", JSON(0.002)), ("beta2", JSON(0.95)), ("decay", JSON(0.1)), ("clip", JSON(1))])),
      (
        "schedule",
        JSON([
          ("kind", .string("wsd")), ("warm_up", JSON(min(50, max(1, steps / 4)))), ("decay_share", JSON(0.25)), ("final", JSON(0.02)),
        ])
      ),
      ("checkpoint", JSON([("seconds", JSON(120))])), ("output", .string(output)),
    ])
  }

  package func report(_ outcomes: [JSON?]) throws -> [(String, JSON)] {
    let known = zip(cells, outcomes).compactMap { cell, outcome in outcome.map { (cell, $0) } }
    var rows: [JSON] = []
    for (number, kind) in kinds.enumerated() {
      for (place, scheme) in schemes.enumerated() {
        let own = known.filter { $0.0.kind == number && $0.0.scheme == place }
        if own.isEmpty { continue }
        for (index, length) in lengths.enumerated() {
          let rates = own.compactMap { $0.1["accuracy"]?.array?[index].double }
          let mean = MeanInterval(rates)
          let bytes = MeanInterval(own.compactMap { $0.1["bytes"]?.array?[index].double })
          rows.append(
            JSON([
              ("series", .string("\(kind.name): \(scheme.name)")), ("length", JSON(length)), ("seeds", JSON(rates.count)),
              ("samples", JSON(samples * rates.count)), ("accuracy", JSON(mean.mean)),
              ("low", JSON(max(0, mean.interval.lowerBound))), ("high", JSON(min(1, mean.interval.upperBound))),
              ("bytes", JSON(bytes.mean)), ("bytes_low", JSON(max(0, bytes.interval.lowerBound))),
              ("bytes_high", JSON(min(1, bytes.interval.upperBound))),
            ]))
        }
      }
    }
    let seconds = known.reduce(0.0) { $0 + ($1.1["seconds"]?.double ?? 0) }
    return [("results", .array(rows)), ("machine_hours", JSON(seconds / 3600))]
  }
}
