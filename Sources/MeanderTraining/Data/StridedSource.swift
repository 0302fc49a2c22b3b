import MeanderErrors
import MeanderFiles
import MeanderText

/// Rows of one file at places that a formula gives, the state from zero: what another trainer can read in the same order.
///
/// Row b of step s is `length` + 1 bytes from offset ((s·B + b)·7919·length) mod (size - length - 1), as tokens.
package final class StridedSource: RecipeSource {
  package static let name = "strided"

  private let bytes: FileBytes
  private let lanes: Int
  private var steps: [Int]

  package init(_ options: inout Configuration, _ context: SourceContext) throws {
    let path = try options.string("path")
    bytes = try FileBytes.mapping(path.hasPrefix("/") ? path : "\(context.folder)/\(path)")
    lanes = context.lanes
    steps = Array(repeating: 0, count: lanes)
    guard context.tokenizer.vocabularyCount == 256 else { throw options.failure("path", "is read as bytes, the tokenizer is not") }
  }

  package func next(lane: Int, length: Int) throws -> Sample {
    let places = bytes.count - length - 1
    guard places > 0 else {
      throw MeanderError(.badData, "\(bytes.count) bytes are too few for rows of \(length)", at: bytes.path)
    }
    let start = (steps[lane] * lanes + lane) * 7919 * length % places
    steps[lane] += 1
    let ids = bytes.copy(start..<start + length + 1).map { Int32($0) }
    return Sample([
      Segment(tokens: Array(ids.dropLast()), targets: Array(ids.dropFirst()), weights: Array(repeating: 1, count: length))
    ])
  }

  package var position: SourcePosition { SourcePosition(.array(steps.map { JSON($0) })) }

  package func restore(_ position: SourcePosition) throws {
    let position = position.json
    guard let values = position.array?.compactMap(\.integer), values.count == lanes, values.allSatisfy({ $0 >= 0 }) else {
      throw MeanderError(.badData, "this is no position of a strided source", at: bytes.path)
    }
    steps = values
  }
}
