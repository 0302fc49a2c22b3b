import MeanderErrors
import MeanderKernels
import MeanderModels
import MeanderText

/// Input on its way into a state: bytes are encoded and tokens read in turns of at most one chunk.
struct FeedJob: Sendable {
  typealias LogitsVisitor = @Sendable (_ rows: Int, _ values: [Float]) throws -> Void

  struct Result: Sendable {
    var scores: [TokenScore] = []
    /// What was noticed of each token, where that was asked for.
    var marks: [TokenMark] = []
  }

  private(set) var result = Result()
  private let bytes: [UInt8]
  private let isFinal: Bool
  private let isScored: Bool
  private let marks: Bool
  private let watch: WriteWatch?
  private let onLogits: LogitsVisitor?
  private let ids: [Int32]
  // How many bytes were encoded, how many ids taken, and how many of the tokens decided so far were read.
  private var encoded = 0
  private var taken = 0
  private var pieces: [TokenPiece] = []
  private var read = 0
  private var isFlushed = false
  private var isCut = false

  init(bytes: [UInt8], isFinal: Bool = false, isScored: Bool = false, marks: Bool = false, watch: WriteWatch? = nil) {
    self.bytes = bytes
    self.isFinal = isFinal
    self.isScored = isScored
    (self.marks, self.watch) = (marks, watch)
    onLogits = nil
    ids = []
  }

  /// Ends the input so far, then reads `ids`.
  init(ids: [Int32], onLogits: LogitsVisitor? = nil) {
    bytes = []
    isFinal = true
    isScored = false
    (marks, watch) = (false, nil)
    self.onLogits = onLogits
    self.ids = ids
  }

  static func cancelled(at byte: Int64) -> MeanderError {
    MeanderError(
      .cancelled, "feeding was cancelled", at: "byte \(byte)",
      remedy: "The state stands there; feed what follows to go on.")
  }

  /// Reads at most one chunk. Returns true when all input was read.
  mutating func turn(_ contents: inout SessionContents, _ model: Model, isCancelled: Bool) throws -> Bool {
    if let failure = contents.failure { throw failure }
    if !bytes.isEmpty, let missing = model.missingTokenizer { throw missing }
    if isCancelled { isCut = true }
    let toGrid = Session.chunk - Int(contents.state.position % Int64(Session.chunk))
    encode(&contents.encoder, wanted: toGrid)
    let next = pieces[read...].prefix(toGrid)
    if !next.isEmpty { try advance(next, &contents, model) }
    read += next.count
    if read == pieces.count {
      pieces.removeAll(keepingCapacity: true)
      read = 0
    }
    guard pieces.isEmpty, isCut || isExhausted else { return false }
    if isCut, !isExhausted { throw Self.cancelled(at: contents.bytesRead) }
    return true
  }

  private var isExhausted: Bool { encoded == bytes.count && taken == ids.count && (isFlushed || !isFinal) }

  /// Encodes until `wanted` tokens are decided or the input ends; a cancelled feed takes in nothing further.
  private mutating func encode(_ encoder: inout TokenEncoder, wanted: Int) {
    func missing() -> Int { max(0, wanted - (pieces.count - read)) }
    while missing() > 0, encoded < bytes.count, !isCut {
      let slice = bytes[encoded...].prefix(missing())
      encoder.push(slice, into: &pieces)
      encoded += slice.count
    }
    guard missing() > 0, encoded == bytes.count, isFinal, !isCut else { return }
    if !isFlushed {
      encoder.finish(into: &pieces)
      isFlushed = true
    }
    let next = ids[taken...].prefix(missing())
    pieces += next.map { TokenPiece(id: $0, end: encoder.consumed) }
    taken += next.count
  }

  /// Moves on, and notes what there was to notice.
  private mutating func mark(
    _ next: ArraySlice<TokenPiece>, _ tokens: [Int32], _ contents: inout SessionContents, _ model: Model
  ) throws {
    var bits: [Double] = []
    if isScored {
      bits = try contents.score(tokens, model, observer: watch)
    } else {
      try contents.advance(by: tokens, model, observer: watch)
    }
    let writes = watch?.take() ?? []
    for (index, piece) in next.enumerated() {
      result.marks.append(
        TokenMark(
          end: piece.end, bits: bits.isEmpty ? nil : bits[index], write: index < writes.count ? writes[index] : nil))
    }
  }

  /// What the gauge says on the stream's grid, so that it does not depend on how the input was cut.
  private func alarms(_ contents: SessionContents, _ model: Model) -> [Gauge.Alarm] {
    let position = contents.state.position
    guard position % Int64(Session.chunk) == 0, model.trainedLength != nil else { return [] }
    return Gauge(model.language.gauge(of: contents.state, kernels: model.kernels), position: position).alarms
  }

  private mutating func advance(
    _ next: ArraySlice<TokenPiece>, _ contents: inout SessionContents, _ model: Model
  ) throws {
    let tokens = next.map(\.id)
    contents.decoder = model.tokenizer.makeDecoder()
    if marks {
      try mark(next, tokens, &contents, model)
    } else if isScored {
      let bits = try contents.score(tokens, model)
      let alarms = alarms(contents, model)
      for (index, (piece, bits)) in zip(next, bits).enumerated() {
        let isLast = index == next.count - 1
        result.scores.append(TokenScore(id: piece.id, end: piece.end, bits: bits, alarms: isLast ? alarms : []))
      }
    } else if let onLogits {
      try contents.advance(by: tokens, model, readout: .each { _, logits in try onLogits(logits.rows, logits.array()) })
    } else {
      try contents.advance(by: tokens, model)
    }
    for id in tokens { contents.sampler.accept(id) }
  }
}
