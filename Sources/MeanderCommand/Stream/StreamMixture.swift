import Meander
import MeanderTasks

/// An n-gram that learns from a stream, mixed with what the model says of its tokens.
struct StreamMixture: Equatable {
  private var prediction = MixedPrediction()
  /// Bytes that were read and that no token has spoken for yet.
  private var undecided: [UInt8] = []
  /// Where the first of them stands in the stream; nil before the first token.
  private var start: Int64?

  init() {}

  /// Takes a piece of the stream and the tokens that were decided with it, whose bits become mixed ones.
  mutating func mix(_ piece: [UInt8], _ tokens: inout [LineScorer.Decided]) {
    undecided += piece
    var used = 0
    for place in tokens.indices {
      // The first token of a stream begins where its undecided bytes do.
      let first = start ?? 0
      let count = min(Int(clamping: max(0, tokens[place].end - first)), undecided.count - used)
      tokens[place].bits = prediction.read(undecided[used..<used + count], model: tokens[place].bits)
      used += count
      start = first + Int64(count)
    }
    undecided.removeFirst(used)
  }

  func write(to record: inout RecordWriter) {
    record.put(prediction.ngram.bytes)
    record.put(prediction.weight)
    record.put(undecided)
    record.put(start ?? -1)
  }

  init(from record: inout RecordReader) throws {
    guard let ngram = ByteNGram(try record.string(atMost: 1 << 26)) else { throw record.damaged() }
    let weight = try record.real()
    guard (0...1).contains(weight) else { throw record.damaged() }
    prediction = MixedPrediction(ngram: ngram, weight: weight)
    undecided = try record.string(atMost: 1 << 24)
    let place = try record.signed()
    guard (-1...1 << 61).contains(place) else { throw record.damaged() }
    start = place < 0 ? nil : place
  }
}
