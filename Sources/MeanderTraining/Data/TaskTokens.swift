import MeanderTasks
import MeanderText

/// How much each kind of token of an example counts in the loss.
struct TaskWeights {
  var answer: Float = 1
  var echo: Float = 0.3
  var text: Float = 0

  func callAsFunction(_ part: ExampleReader.Part) -> Float {
    switch part {
    case .answer: answer
    case .echo: max(echo, text)
    case .text, .filler: text
    }
  }
}

/// The tokens of an example and what each counts, part by part.
///
/// A token that holds bytes of several parts counts as the heaviest of them: an answer is learned whole, even where its
/// first bytes share a token with the question.
struct TaskTokens {
  private var reader: ExampleReader
  private var encoder: TokenEncoder
  private let weights: TaskWeights
  /// Parts whose bytes are not all encoded: where each ends in the text, and its weight.
  private var parts: [(end: Int64, weight: Float)] = []
  private var pushed: Int64 = 0
  /// Where the last token ended.
  private var place: Int64 = 0
  private var isFinished = false

  init(_ reader: ExampleReader, tokenizer: Tokenizer, weights: TaskWeights) {
    self.reader = reader
    encoder = tokenizer.makeEncoder()
    self.weights = weights
  }

  /// Adds some more tokens; false at the end.
  mutating func read(into ids: inout [Int32], _ factors: inout [Float]) throws -> Bool {
    guard !isFinished else { return false }
    var pieces: [TokenPiece] = []
    if let part = try reader.next() {
      let bytes = part.bytes
      pushed += Int64(bytes.count)
      parts.append((pushed, weights(part)))
      encoder.push(bytes, into: &pieces)
    } else {
      encoder.finish(into: &pieces)
      isFinished = true
    }
    for piece in pieces {
      ids.append(piece.id)
      factors.append(weight(upTo: piece.end))
    }
    return true
  }

  /// The weight of the token whose bytes begin at `place` and end at `end`.
  private mutating func weight(upTo end: Int64) -> Float {
    while parts.count > 1, parts[0].end <= place { parts.removeFirst() }
    var weight = parts.first?.weight ?? 0
    for (part, next) in zip(parts, parts.dropFirst()) where part.end < end { weight = max(weight, next.weight) }
    place = max(place, end)
    return weight
  }
}
