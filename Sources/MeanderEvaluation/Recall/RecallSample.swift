import Meander
import MeanderFiles
import MeanderTasks

/// One haystack: read once, and asked.
struct RecallSample {
  let series: RecallSeries
  let depth: Double
  /// Where its filler came from, if that is a corpus.
  let origin: FillerOrigin?
  var failure: String?
  private var fillerBytes = 0
  private var tokens: Int64 = 0
  private var answers: [(ending: RecallSeries.Ending, hits: Int, parts: Int, expected: String, said: String)] = []

  init(series: RecallSeries, depth: Double, origin: FillerOrigin?) {
    self.series = series
    self.depth = depth
    self.origin = origin
  }

  mutating func read(_ reader: ExampleReader, on stream: LabStream) async throws {
    let session = try stream.session()
    var reader = reader
    // The text before an answer is its question, which is asked in more ways than one.
    var held: [UInt8] = []
    while let part = try reader.next() {
      if case .answer(let answer) = part {
        try await ask(held, answer, session, stream)
        held = []
        continue
      }
      try await stream.read(held, session)
      held = part.bytes
      if case .filler(let bytes) = part { fillerBytes += bytes.count }
    }
    tokens = session.position
  }

  private mutating func ask(
    _ question: [UInt8], _ answer: [UInt8], _ session: Session, _ stream: LabStream
  ) async throws {
    if series.rule == .exact {
      try await stream.read(question, session)
      try await session.finishInput()
      let ids = session.model.tokenizer.encode(answer)
      var hits = 0
      for id in ids {
        let logits = try await session.logits()
        if logits.indices.max(by: { logits[$0] < logits[$1] }) == Int(id) { hits += 1 }
        try await session.feed(ids: [id])
      }
      answers.append((.plain, hits == ids.count ? 1 : 0, 1, "", ""))
      return
    }
    let text = String(decoding: answer, as: UTF8.self)
    for ending in series.endings {
      let fork = try await session.fork()
      try await stream.read(question + (ending == .space ? [UInt8(ascii: " ")] : []), fork)
      let said = try await Self.continuation(fork, as: text, lengthened: series.rule == .share ? 16 : 0)
      let (hits, parts) = judge(said, text)
      answers.append((ending, hits, parts, text, said))
    }
    // Whatever is asked next stands behind the right answer.
    try await stream.read(question + answer, session)
  }

  /// The greedy continuation: as many tokens as the answer has, and five at least.
  private static func continuation(_ session: Session, as answer: String, lengthened: Int) async throws -> String {
    let count = max(5, session.model.tokenizer.encode(answer).count) + lengthened
    var said = ""
    for try await token in session.generate(SamplingOptions(), maximumTokens: count) { said += token.text }
    return said
  }

  private func judge(_ said: String, _ answer: String) -> (hits: Int, parts: Int) {
    guard series.rule == .share else { return (Scoring.contains(said, answer) ? 1 : 0, 1) }
    let parts = answer.split { $0 == "," || $0.isWhitespace }
    return (parts.count { said.contains($0) }, parts.count)
  }

  var outcome: JSON {
    var members: [(String, JSON)] = [
      ("depth", JSON(depth)), ("tokens", JSON(Int(tokens))), ("filler_bytes", JSON(fillerBytes)),
    ]
    if let origin {
      members += [
        ("document", .string(origin.document)), ("document_bytes", JSON(origin.documentBytes)),
        ("offset", JSON(origin.offset)),
        ("corpus_bytes", JSON(origin.corpusBytes)),
      ]
    }
    if let failure { members.append(("failure", .string(failure))) }
    let kinds = series.rule == .exact ? [.plain] : series.endings
    let byEnding = kinds.map { ending -> JSON in
      let mine = answers.filter { $0.ending == ending }
      var row: [(String, JSON)] = [
        ("ending", .string(ending.rawValue)), ("hits", JSON(mine.reduce(0) { $0 + $1.hits })),
        ("parts", JSON(max(1, mine.reduce(0) { $0 + $1.parts }))),
      ]
      if series.rule != .exact {
        row.append(("expected", JSON(mine.map(\.expected))))
        row.append(("said", JSON(mine.map(\.said))))
      }
      return JSON(row)
    }
    return JSON(members + [("answers", .array(byEnding))])
  }
}
