import MeanderErrors
import MeanderFiles

/// One lane of a task whose state is carried: examples without end, cut into runs of tokens.
struct TaskLane {
  /// The example that the next token belongs to, counted from 0, and the token's place in it.
  private var example = 0
  private var offset = 0
  /// The limits under which this example and those that were begun after it were made.
  private var limits: [Int] = []
  /// How many tokens each of these has, as far as they were read to their end.
  private var counts: [Int] = []
  private var open: TaskTokens?
  private var openCount = 0
  private var ids: [Int32] = []
  private var weights: [Float] = []
  private(set) var hasBegun = false

  /// The next `length` tokens, each with the one behind it.
  ///
  /// - Parameter begin: starts an example by its number and the limit that it is made under.
  mutating func next(_ length: Int, limit: Int, begin: (Int, Int) throws -> TaskTokens) throws -> Segment {
    try fill(length + 1, limit: limit, begin: begin)
    let segment = Segment(
      tokens: Array(ids[..<length]), targets: Array(ids[1...length]), weights: Array(weights[1...length]))
    take(length)
    hasBegun = true
    return segment
  }

  private mutating func fill(_ count: Int, limit: Int, begin: (Int, Int) throws -> TaskTokens) throws {
    while ids.count < count {
      if open == nil {
        // After a restoration, the limits of examples that had been begun stand here already.
        if limits.count == counts.count { limits.append(limit) }
        open = try begin(example + counts.count, limits[counts.count])
        openCount = 0
      }
      let before = ids.count
      if try open?.read(into: &ids, &weights) != true {
        counts.append(openCount)
        open = nil
      }
      openCount += ids.count - before
    }
  }

  private mutating func take(_ count: Int) {
    ids.removeFirst(count)
    weights.removeFirst(count)
    offset += count
    while let first = counts.first, offset >= first {
      offset -= first
      example += 1
      counts.removeFirst()
      limits.removeFirst()
    }
  }

  var position: JSON {
    JSON([
      ("example", JSON(example)), ("offset", JSON(offset)), ("limits", .array(limits.map { JSON($0) })),
      ("begun", .bool(hasBegun)),
    ])
  }

  /// A lane that goes on from `position`: its current example is read again up to there.
  init(_ position: JSON, begin: (Int, Int) throws -> TaskTokens) throws {
    guard let example = position["example"]?.integer, let offset = position["offset"]?.integer, example >= 0,
      offset >= 0,
      let limits = position["limits"]?.array?.map(\.integer), let hasBegun = position["begun"]?.bool
    else {
      throw MeanderError(.mismatch, "the position does not belong to a carried task", at: "task")
    }
    self.example = example
    self.hasBegun = hasBegun
    self.limits = limits.compactMap { $0 }
    if offset > 0 {
      guard let limit = self.limits.first else {
        throw MeanderError(.mismatch, "the position stands in an example that was never begun", at: "task")
      }
      try fill(offset, limit: limit, begin: begin)
      take(offset)
    }
  }

  init() {}
}
