import Glibc
import MeanderErrors
import MeanderFiles
import MeanderTasks
import MeanderText

/// Tasks of recall, made on the fly: any of `RecallTasks`, with synthetic filler or with real text.
///
/// The loss falls on the answers, and in text on the line break behind the last, with `answer_weight`; on second mentions of a key with
/// the share `echo` of it, which gives a short and dense signal early on; and on everything else with `text_weight`. Docs/Tasks.md lists the options.
package final class TaskSource: RecipeSource {
  package static let name = "task"

  private let task: any RecallTask
  private let filler: any Filler
  private let negatives: MinedFiller?
  private let context: SourceContext
  private let weights: TaskWeights
  /// Bytes of filler.
  private let lengths: ClosedRange<Int>
  /// Whether a stretch of filler is a block that is repeated: then the curriculum is over the number of repeats.
  private let isPowered: Bool
  private let carries: Bool
  private var curriculum: TaskCurriculum
  /// How many samples each lane was given.
  private var counts: [Int]
  private var streams: [TaskLane]

  package init(_ options: inout Configuration, _ context: SourceContext) throws {
    self.context = context
    let name = try options.string("task")
    let none = try Configuration(.object(JSONObject()), file: options.file)
    task = try RecallTasks.make(name, options.object("options") ?? none, file: options.file)
    (filler, negatives) = try TaskFillers.read(&options, context)
    let answer = Float(try options.float("answer_weight", 1, in: 0.01...1000))
    weights = TaskWeights(
      answer: answer, echo: answer * Float(try options.float("echo", 0.3, in: 0...1)),
      text: Float(try options.float("text_weight", 0, in: 0...1)))
    lengths = try options.range("length", 64...256, in: 0...1 << 40)
    let power = try options.optionalInteger("power", in: 1...1 << 40)
    isPowered = power != nil
    let maximum = power ?? lengths.upperBound
    let start = try options.integer(
      "start", isPowered ? 1 : maximum, in: (isPowered ? 1 : lengths.lowerBound)...maximum)
    curriculum = TaskCurriculum(
      start: start, maximum: maximum, threshold: try options.float("threshold", 0.93, in: 0...1),
      span: try options.integer("span", 20, in: 1...1_000_000))
    carries = try options.bool("carry", false)
    if carries, isPowered { throw options.failure("power", "cannot be had together with 'carry'") }
    counts = [Int](repeating: 0, count: context.lanes)
    streams = [TaskLane](repeating: TaskLane(), count: carries ? context.lanes : 0)
  }

  package func next(lane: Int, length: Int) throws -> Sample {
    precondition(counts.indices.contains(lane) && length > 0, "lane \(lane) with \(length) tokens")
    if carries {
      let continues = streams[lane].hasBegun
      let segment = try streams[lane].next(length, limit: curriculum.limit) { try tokens(lane, example: $0, limit: $1) }
      return Sample([segment], continues: continues)
    }
    var generator = generator(lane, counts[lane])
    let sample = Sample(
      isPowered ? try powered(&generator, length) : try whole(&generator, limit: curriculum.limit, length))
    counts[lane] += 1
    return sample
  }

  package func learned(_ accuracy: Double) { curriculum.learned(accuracy) }

  package var position: SourcePosition {
    let members = [
      ("counts", .array(counts.map { JSON($0) })), ("curriculum", curriculum.position),
      ("streams", .array(streams.map(\.position))),
    ]
    return SourcePosition(JSON(members + (negatives.map { [("mined", $0.position)] } ?? [])))
  }

  package func prepare(step: Int, _ miner: NegativeMiner) throws { try negatives?.prepare(step: step, miner) }

  package func restore(_ position: SourcePosition) throws {
    let position = position.json
    guard let counts = position["counts"]?.array?.compactMap(\.integer), counts.count == context.lanes,
      let streams = position["streams"]?.array, streams.count == self.streams.count, let stage = position["curriculum"]
    else {
      throw MeanderError(
        .mismatch, "the position does not belong to this task", at: "task",
        remedy: "Resume with the recipe and the batch size that the run was started with.")
    }
    try curriculum.restore(stage)
    if let negatives {
      guard let mined = position["mined"] else {
        throw MeanderError(.mismatch, "the position holds no negatives that were mined", at: "task")
      }
      try negatives.restore(mined)
    }
    self.counts = counts
    self.streams = try streams.enumerated().map { lane, position in
      try TaskLane(position) { try tokens(lane, example: $0, limit: $1) }
    }
  }

  /// A sample's own generator, so that it needs nothing of those before it.
  private func generator(_ lane: Int, _ count: Int) -> TaskGenerator {
    TaskGenerator(seed: context.seed, sample: UInt64(lane) << 40 | UInt64(count))
  }

  /// Log-uniform, so that every octave of lengths is met equally often.
  private func draw(_ range: ClosedRange<Int>, _ generator: inout TaskGenerator) -> Int {
    let low = log(Double(range.lowerBound + 1))
    let high = log(Double(range.upperBound + 2))
    return min(range.upperBound, max(range.lowerBound, Int(exp(low + generator.uniform() * (high - low))) - 1))
  }

  private func reader(_ example: Example, _ generator: inout TaskGenerator) throws -> ExampleReader {
    ExampleReader(example, filler: try (task.filler ?? filler).run(generator.fork()), closesLines: task.filler == nil)
  }

  /// An example of a carried stream: its last line ends, and the next example follows.
  private func tokens(_ lane: Int, example: Int, limit: Int) throws -> TaskTokens {
    var generator = generator(lane, example)
    let count = draw(min(lengths.lowerBound, limit)...limit, &generator)
    var example = try task.example(filler: count, depth: nil, using: &generator)
    if task.filler == nil { example.append(answer: Self.end) }
    return TaskTokens(try reader(example, &generator), tokenizer: context.tokenizer, weights: weights)
  }

  /// What an answer in text ends with, and a model learns to end it with.
  private static let end = "\n"

  private func closed(_ example: Example) -> Example {
    guard task.filler == nil else { return example }
    var example = example
    example.append(answer: Self.end)
    return example
  }

  /// A whole example up to its last answer, in segments of at most `length` tokens.
  private func whole(_ generator: inout TaskGenerator, limit: Int, _ length: Int) throws -> [Segment] {
    let count = draw(min(lengths.lowerBound, limit)...limit, &generator)
    let example = closed(try task.example(filler: count, depth: nil, using: &generator).upToLastAnswer)
    let section = try encode(reader(example, &generator))
    return Self.cut([(section, 1)], length)
  }

  /// An example whose stretches of filler are blocks that are repeated.
  private func powered(_ generator: inout TaskGenerator, _ length: Int) throws -> [Segment] {
    // A block must be one segment: the power of a product is not the product of the powers.
    let longest = min(lengths.upperBound, length)
    let count = draw(min(lengths.lowerBound, longest)...longest, &generator)
    let example = closed(try task.example(filler: count, depth: nil, using: &generator).upToLastAnswer)
    var run = try (task.filler ?? filler).run(generator.fork())
    var sections: [(Section, Int)] = []
    var text = Example()
    func flush() throws {
      if text.pieces.isEmpty { return }
      sections.append((try encode(ExampleReader(text, filler: run)), 1))
      text = Example()
    }
    for piece in example.pieces {
      guard case .filler(let count) = piece else {
        text.append(piece)
        continue
      }
      try flush()
      // The run goes on from stretch to stretch: what one reader took is taken from the run as well.
      var block = ExampleReader(
        Example([piece]), filler: TakenFiller(bytes: try run.next(count)), closesLines: task.filler == nil)
      let repeats = draw(1...curriculum.limit, &generator)
      sections.append((try encode(&block), repeats))
    }
    try flush()
    return Self.cut(sections, length)
  }

  private typealias Section = (ids: [Int32], weights: [Float])

  private func encode(_ reader: ExampleReader) throws -> Section {
    var reader = reader
    return try encode(&reader)
  }

  private func encode(_ reader: inout ExampleReader) throws -> Section {
    var tokens = TaskTokens(reader, tokenizer: context.tokenizer, weights: weights)
    var section: Section = ([], [])
    while try tokens.read(into: &section.ids, &section.weights) {}
    return section
  }

  /// Segments of at most `length` tokens over the sections, of which the last token is a target alone.
  private static func cut(_ sections: [(section: Section, repeats: Int)], _ length: Int) -> [Segment] {
    let ids = sections.flatMap(\.section.ids)
    let weights = sections.flatMap(\.section.weights)
    var segments: [Segment] = []
    var start = 0
    var sectionEnd = 0
    for (section, repeats) in sections {
      sectionEnd = min(sectionEnd + section.ids.count, ids.count - 1)
      while start < sectionEnd {
        let end = min(start + length, sectionEnd)
        segments.append(
          Segment(
            tokens: Array(ids[start..<end]), targets: Array(ids[start + 1...end]),
            weights: Array(weights[start + 1...end]),
            repeats: repeats))
        start = end
      }
    }
    return segments
  }
}

/// Filler that was taken from a run already.
private struct TakenFiller: FillerRun {
  var bytes: [UInt8]

  mutating func next(_ count: Int) -> [UInt8] {
    defer { bytes.removeFirst(count) }
    return Array(bytes.prefix(count))
  }
}

extension Example {
  /// Without what follows the last answer, from which nothing is to be learned.
  fileprivate var upToLastAnswer: Example {
    let last = pieces.lastIndex { if case .answer = $0 { true } else { false } } ?? pieces.count - 1
    return Example(Array(pieces[...last]))
  }
}
