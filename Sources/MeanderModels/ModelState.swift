import MeanderErrors
import MeanderFiles
import MeanderKernels

/// Everything that the past left behind in a model: one block of fixed size, and how many tokens made it.
///
/// A class, so that a state has one owner; `copy()` is a fork.
package final class ModelState: @unchecked Sendable {
  // Safe as Sendable: one session owns a state and lends it to one job at a time.
  package let layout: StateLayout
  package private(set) var position: Int64 = 0
  package let storage: Storage

  /// The state before the first token: all zeros.
  package init(layout: StateLayout) {
    self.layout = layout
    storage = Storage(byteCount: layout.byteCount)
  }

  /// A state of its own with the same content. O(state).
  package func copy() -> ModelState {
    let copy = ModelState(layout: layout)
    copy.storage.copy(from: storage)
    copy.position = position
    return copy
  }

  /// Makes this state equal to `other`, which must have the same layout.
  package func assign(_ other: ModelState) {
    storage.copy(from: other.storage)
    position = other.position
  }

  /// The state before the first token again. O(state), in memory that is there already.
  package func clear() {
    storage.clear(0..<storage.byteCount)
    position = 0
  }

  package func setPosition(_ position: Int64) { self.position = position }

  /// A region of `f32` as a matrix whose rows are the first dimensions taken together.
  package func matrix(_ region: StateRegion) -> Matrix {
    let columns = region.shape.last ?? 1
    return Matrix(storage, offset: region.offset, rows: columns == 0 ? 0 : region.count / columns, columns: columns)
  }

  /// A region of `f64`.
  package func doubles(_ region: StateRegion) -> Doubles {
    Doubles(storage, offset: region.offset, count: region.count)
  }

  /// The bytes of a region, little-endian, as a snapshot holds them.
  package func bytes(of region: StateRegion) -> [UInt8] { storage.bytes(region.offset..<region.offset + region.byteCount) }

  /// Replaces the content of a region. Throws `.badData` when the number of bytes is not the region's.
  package func setBytes(of region: StateRegion, _ bytes: [UInt8]) throws {
    guard bytes.count == region.byteCount else {
      throw MeanderError(.badData, "holds \(bytes.count) bytes instead of \(region.byteCount)", at: region.name)
    }
    replace(region, bytes)
  }

  /// The same for bytes that came from this very region.
  func replace(_ region: StateRegion, _ bytes: [UInt8]) { storage.setBytes(at: region.offset, bytes) }
}
