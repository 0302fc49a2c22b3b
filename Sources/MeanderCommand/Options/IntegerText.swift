import MeanderErrors
import MeanderFiles

/// Token ids as people and programs write them.
enum IntegerText {
  /// A JSON array of integers, or an object whose `ids` is one.
  static func json(_ bytes: [UInt8], path: String, below bound: Int) throws -> [Int32] {
    var document = try JSON.parse(FileBytes(bytes, path: path))
    if let ids = document["ids"] { document = ids }
    guard case .array(let values) = document else {
      throw MeanderError(.badData, "this is not a JSON array of token ids", at: path, remedy: "Write it as [5, 17, 3].")
    }
    return try values.enumerated().map { index, value in
      guard let id = value.integer, (0..<bound).contains(id) else {
        throw MeanderError(
          .badData, "element \(index) is not a token id", at: path,
          remedy: "Ids are whole numbers from 0 to \(bound - 1).")
      }
      return Int32(id)
    }
  }
}

/// Reads ids that are set apart by spaces, commas, line breaks or brackets, piece by piece.
struct IntegerScanner {
  private let bound: Int
  private let path: String
  private var pending: Int?
  private var offset = 0

  init(below bound: Int, path: String) {
    self.bound = bound
    self.path = path
  }

  mutating func push(_ bytes: some Sequence<UInt8>, into ids: inout [Int32]) throws {
    for byte in bytes {
      switch byte {
      case UInt8(ascii: "0")...UInt8(ascii: "9"):
        let value = (pending ?? 0) * 10 + Int(byte - UInt8(ascii: "0"))
        guard value < bound else {
          throw MeanderError(
            .badData, "a number is beyond the vocabulary", at: "\(path), byte \(offset)",
            remedy: "Ids are whole numbers from 0 to \(bound - 1).")
        }
        pending = value
      case UInt8(ascii: " "), UInt8(ascii: "\n"), UInt8(ascii: "\t"), UInt8(ascii: "\r"), UInt8(ascii: ","),
        UInt8(ascii: "["), UInt8(ascii: "]"):
        finish(into: &ids)
      default:
        throw MeanderError(
          .badData, "this is not a list of token ids", at: "\(path), byte \(offset)",
          remedy: "Give whole numbers set apart by spaces, or what `tokenizer encode --json` prints.")
      }
      offset += 1
    }
  }

  mutating func finish(into ids: inout [Int32]) {
    if let pending { ids.append(Int32(pending)) }
    pending = nil
  }
}
