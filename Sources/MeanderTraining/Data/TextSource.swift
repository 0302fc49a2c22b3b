import MeanderErrors
import MeanderFiles
import MeanderKernels
import MeanderText

/// Running text: documents in an order drawn anew for each epoch, each lane reading its own, window after window.
///
/// Options: `paths`, files and folders; `carry`, `document` (the state is carried through a document and begins anew with the
/// next), `stream` (it is carried on into the next, unrelated document), or `none`; `held_out` and `split`, a share of the
/// documents kept apart by a hash of their names, and which part this is.
///
/// A document is a file; `.gz` and `.zst` are unpacked by `gzip` and `zstd`. Documents are read in pieces and encoded as they
/// come, so that memory does not grow with them.
package final class TextSource: RecipeSource {
  package static let name = "text"

  private enum Carry: String, CaseIterable { case none, document, stream }

  private let files: [String]
  private let carry: Carry
  private let context: SourceContext
  private let separator: Int32
  private var lanes: [Lane]

  /// Where a lane stands: a document of an epoch, and how many of its tokens were read.
  private struct Lane {
    var epoch = 0
    var rank = 0
    var taken = 0
    var begun = false
    /// Tokens that were encoded and not yet given out; not part of the position.
    var held: [Int32] = []
    var reader: DocumentReader?
  }

  package init(_ options: inout Configuration, _ context: SourceContext) throws {
    self.context = context
    let paths = try options.strings("paths").map { $0.hasPrefix("/") ? $0 : "\(context.folder)/\($0)" }
    let choices = Carry.allCases.map(\.rawValue)
    carry = Carry(rawValue: try options.string("carry", "document", among: choices)) ?? .document
    let heldOut = try options.float("held_out", 0, in: 0...1)
    let split = try options.string("split", "train", among: ["train", "held_out"])
    let bound = UInt64(heldOut * 0x1p53)
    files = try Folder.files(below: paths).filter { path in
      guard let status = FileStatus(path), status.size > 0 else { return false }
      // By its name alone, so that a document stays where it is when others come and go.
      let name = path.split(separator: "/").suffix(2).joined(separator: "/")
      let isHeldOut = Self.hash(name) >> 11 < bound
      return isHeldOut == (split == "held_out")
    }
    guard !files.isEmpty else {
      throw MeanderError(.badData, "there is no text to learn from", at: paths.joined(separator: ", "), remedy: "Check 'paths'.")
    }
    separator = context.tokenizer.endOfText.min() ?? context.tokenizer.encode("\n").first ?? 0
    lanes = Array(repeating: Lane(), count: context.lanes)
    for index in lanes.indices { lanes[index].rank = index }
  }

  package func next(lane index: Int, length: Int) throws -> Sample {
    var lane = lanes[index]
    defer { lanes[index] = lane }
    var continues = lane.begun && carry != .none
    // The last token of a window is the first of the next: each is read once and foretold once.
    if carry == .stream {
      while lane.held.count < length + 1 {
        if try !fill(&lane, length + 1) { try advance(&lane, separating: true) }
      }
    } else {
      var passed = 0
      while try lane.held.count < length + 1 && !fill(&lane, length + 1) && lane.held.count < 2 {
        try advance(&lane, separating: false)
        continues = false
        passed += 1
        guard passed <= files.count else {
          throw MeanderError(.badData, "no document has two tokens", at: files[0], remedy: "Check 'paths'.")
        }
      }
    }
    let count = min(length, lane.held.count - 1)
    let tokens = Array(lane.held.prefix(count))
    let targets = Array(lane.held[1...count])
    lane.held.removeFirst(count)
    lane.taken += count
    lane.begun = true
    return Sample(
      [Segment(tokens: tokens, targets: targets, weights: Array(repeating: 1, count: count))], continues: continues)
  }

  /// Encodes more of the lane's document, until `count` tokens are held; false when it has ended before.
  private func fill(_ lane: inout Lane, _ count: Int) throws -> Bool {
    if lane.reader == nil {
      var reader = try DocumentReader(document(lane), context.tokenizer)
      // After a restoration the tokens before the position are read again.
      var skipped = max(0, lane.taken)
      while skipped > 0 {
        guard try reader.read(into: &lane.held) else { break }
        let passed = min(skipped, lane.held.count)
        lane.held.removeFirst(passed)
        skipped -= passed
      }
      guard skipped == 0 else {
        throw MeanderError(
          .badData, "the document is shorter than it was when the run stood in it", at: try document(lane),
          remedy: "Give the run the text back that it began with.")
      }
      lane.reader = reader
    }
    while lane.held.count < count {
      guard try lane.reader?.read(into: &lane.held) ?? false else { return false }
    }
    return true
  }

  /// Goes on to the lane's next document, and to the next epoch when it has read all of its own.
  private func advance(_ lane: inout Lane, separating: Bool) throws {
    lane.reader = nil
    lane.begun = lane.begun && separating
    // What is held belongs to the next document's count from here on: it comes before its first token.
    lane.held = separating ? lane.held + [separator] : []
    lane.taken = -lane.held.count
    lane.rank += lanes.count
    if lane.rank >= files.count {
      lane.epoch += 1
      lane.rank = lane.rank % lanes.count % files.count
    }
  }

  private func document(_ lane: Lane) throws -> String { order(lane.epoch)[lane.rank % files.count].path }

  private var orders: [Int: [(key: UInt64, path: String)]] = [:]

  /// The documents of an epoch in its order.
  private func order(_ epoch: Int) -> [(key: UInt64, path: String)] {
    if let known = orders[epoch] { return known }
    let seed = SplitMix64.mixed(context.seed &+ UInt64(epoch))
    let drawn = files.map { (key: SplitMix64.mixed(seed ^ Self.hash($0)), path: $0) }.sorted { $0.key < $1.key }
    orders = orders.filter { $0.key >= epoch - 1 }
    orders[epoch] = drawn
    return drawn
  }

  /// FNV-1a over a path's bytes, spread.
  private static func hash(_ text: String) -> UInt64 {
    SplitMix64.mixed(text.utf8.reduce(0xcbf29ce484222325) { ($0 ^ UInt64($1)) &* 0x100000001b3 })
  }

  package var position: SourcePosition {
    SourcePosition(
      .array(
        lanes.map { lane in
          JSON([
            ("epoch", JSON(lane.epoch)), ("rank", JSON(lane.rank)), ("taken", JSON(lane.taken)), ("begun", .bool(lane.begun)),
            ("before", .array(lane.held.prefix(max(0, -lane.taken)).map { JSON(Int($0)) })),
          ])
        }))
  }

  package func restore(_ position: SourcePosition) throws {
    let position = position.json
    guard let all = position.array, all.count == lanes.count else {
      throw MeanderError(.mismatch, "the position does not belong to this source", at: "text")
    }
    lanes = try all.map { json in
      guard let epoch = json["epoch"]?.integer, let rank = json["rank"]?.integer, let taken = json["taken"]?.integer,
        let begun = json["begun"]?.bool, let before = json["before"]?.array?.compactMap(\.integer), epoch >= 0, rank >= 0
      else { throw MeanderError(.mismatch, "the position does not belong to this source", at: "text") }
      return Lane(epoch: epoch, rank: rank, taken: taken, begun: begun, held: before.map { Int32($0) })
    }
  }
}

/// The tokens of one document, piece by piece.
private struct DocumentReader {
  private var file: PackedFile
  private var encoder: TokenEncoder
  private var isFinished = false

  init(_ path: String, _ tokenizer: Tokenizer) throws {
    file = try PackedFile(path)
    encoder = tokenizer.makeEncoder()
  }

  /// Adds the tokens of another piece; false when there is none.
  mutating func read(into ids: inout [Int32]) throws -> Bool {
    guard !isFinished else { return false }
    var pieces: [TokenPiece] = []
    if let bytes = try file.read(1 << 15) {
      encoder.push(bytes, into: &pieces)
    } else {
      encoder.finish(into: &pieces)
      isFinished = true
    }
    ids += pieces.map(\.id)
    return true
  }
}
