import MeanderErrors
import MeanderFiles

/// One example of a task: what is read, what is left to filler, and what should be answered, in order.
///
/// Training, measuring and streaming go by the same description. Filler is told by its length alone, so that an
/// example of any length takes no memory.
package struct Example: Sendable, Hashable {
  package enum Piece: Sendable, Hashable {
    case text([UInt8])
    /// Text that says again what was said before, and so can be foretold: a second mention of a key.
    case echo([UInt8])
    /// This many bytes of filler.
    case filler(Int)
    /// What the model should say here. What follows, if anything, is read after the right answer.
    case answer([UInt8])
  }

  package private(set) var pieces: [Piece] = []

  package init() {}
  package init(_ pieces: [Piece]) { pieces.forEach { append($0) } }

  /// Adds a piece; an empty one is left out.
  package mutating func append(_ piece: Piece) {
    switch piece {
    case .text(let bytes), .echo(let bytes), .answer(let bytes): if !bytes.isEmpty { pieces.append(piece) }
    case .filler(let count): if count > 0 { pieces.append(piece) }
    }
  }

  package mutating func append(text: String) { append(.text(Array(text.utf8))) }
  package mutating func append(answer: String) { append(.answer(Array(answer.utf8))) }

  /// Adds a statement in which `value` may stand more than once: from the second time on it is an echo.
  package mutating func append(statement: String, of value: String) {
    let parts = statement.split(separator: value, omittingEmptySubsequences: false)
    for (place, part) in parts.enumerated() {
      if place == 1 { append(text: value) }
      if place > 1 { append(.echo(Array(value.utf8))) }
      append(text: String(part))
    }
  }

  /// How many bytes there are in all, filler and answers included.
  package var byteCount: Int {
    pieces.reduce(0) { sum, piece in
      switch piece {
      case .text(let bytes), .echo(let bytes), .answer(let bytes): sum + bytes.count
      case .filler(let count): sum + count
      }
    }
  }

  package var answers: [[UInt8]] {
    pieces.compactMap { if case .answer(let bytes) = $0 { bytes } else { nil } }
  }
}

/// A task of recall: something is said in a long input and asked for later. A file and a line in `RecallTasks`.
package protocol RecallTask: Sendable {
  /// What recipes and the lab call it.
  static var name: String { get }

  /// Reads the task's options; `options` is consumed but not finished.
  init(_ options: inout Configuration) throws

  /// An example with `filler` bytes of filler in all, decided by the generator alone.
  ///
  /// - Parameter depth: where what is asked for stands, 0 at the beginning and 1 at the end; drawn where it is nil.
  ///   Tasks in which nothing single is asked for ignore it.
  func example(filler: Int, depth: Double?, using generator: inout TaskGenerator) throws -> Example

  /// The filler that belongs to the task, where any other would change what it asks: nil where any text will do.
  var filler: (any Filler)? { get }
}

extension RecallTask {
  package var filler: (any Filler)? { nil }
}

/// Every task; a new one is a file and a line here.
package enum RecallTasks {
  package static let all: [any RecallTask.Type] = [
    PasskeyTask.self,
    NeedleTask.self,
    AssociativeRecall.self,
    SelectiveCopying.self,
    InductionHeads.self,
    Phonebook.self,
    VariableTracking.self,
    FrequentWords.self,
    Copying.self,
    Sorting.self,
    Addition.self,
  ]

  /// The task of that name with its options, which must all mean something to it.
  package static func make(_ name: String, _ options: Configuration, file: String) throws -> any RecallTask {
    guard let type = all.first(where: { $0.name == name }) else {
      let names = all.map { $0.name }.joined(separator: ", ")
      throw MeanderError(.badData, "there is no task '\(name)'", at: file, remedy: "The tasks are: \(names).")
    }
    var options = options
    let task = try type.init(&options)
    try options.finish()
    return task
  }
}
