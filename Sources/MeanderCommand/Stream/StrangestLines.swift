import MeanderTasks

/// The lines with the highest scores of a stream, at most `capacity` of them, the strangest first.
///
/// Of equal scores the earlier line comes first.
struct StrangestLines: Equatable {
  private(set) var lines: [ScoredLine] = []
  let capacity: Int

  init(capacity: Int) { self.capacity = capacity }

  /// O(log capacity) for a line that is not kept.
  mutating func add(_ line: ScoredLine) {
    guard capacity > 0, lines.count < capacity || line.score > lines[lines.count - 1].score else { return }
    var low = 0
    var high = lines.count
    while low < high {
      let middle = (low + high) / 2
      if lines[middle].score < line.score { high = middle } else { low = middle + 1 }
    }
    lines.insert(line, at: low)
    if lines.count > capacity { lines.removeLast() }
  }

  func write(to record: inout RecordWriter) {
    record.put(UInt64(lines.count))
    for line in lines { line.write(to: &record) }
  }

  /// Reads what another run kept; a smaller capacity keeps the strangest of them.
  init(capacity: Int, from record: inout RecordReader) throws {
    self.capacity = capacity
    for _ in 0..<(try record.count(atMost: 1 << 20)) { add(try ScoredLine(from: &record)) }
  }
}
