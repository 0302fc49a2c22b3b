import MeanderErrors
import MeanderFiles

/// One named region of a recurrent state.
package struct StateRegion: Sendable, Hashable {
  /// `layers.0.ssm`, say: the layer's number and the mixer's own name for the region.
  package let name: String
  /// `f32`, or `f64` for sums that must not lose their tail.
  package let type: ElementType
  /// Row-major.
  package let shape: [Int]
  /// What the region is to the layer.
  package let role: Role
  /// Where the region begins in the state's block, in bytes; a multiple of 64.
  package let offset: Int

  package enum Role: Sendable, Hashable {
    /// Sums over the past that decay: what `StatePrecision` is of.
    case recurrence
    /// What fp32 could not hold of such a sum.
    case rest
    /// No memory of the stream's content: the last row that was computed, and what the gauge compares with.
    case record
    /// Anything else: windows and caches, gathered decays.
    case other
  }

  package var count: Int { shape.reduce(1, *) }
  package var byteCount: Int { count * (type == .f64 ? 8 : 4) }
}

/// Which regions a model's state has, and where each lies in its one contiguous block.
package struct StateLayout: Sendable {
  package private(set) var regions: [StateRegion] = []
  /// Bytes of the whole block.
  package private(set) var byteCount = 0

  package init() {}

  /// Adds a region at the end and returns it.
  package mutating func append(
    _ name: String, _ type: ElementType = .f32, _ shape: [Int], role: StateRegion.Role = .other
  ) -> StateRegion {
    let region = StateRegion(name: name, type: type, shape: shape, role: role, offset: byteCount)
    regions.append(region)
    byteCount += (region.byteCount + 63) & ~63
    return region
  }

  /// The region called `name`, if the state has it.
  package subscript(name: String) -> StateRegion? { regions.first { $0.name == name } }
}
