import CMeanderKernels

/// Stored elements widened to what the arithmetic uses. Plain loops over whole runs, so that they vectorize.
enum Widening {
  /// Fills `values` with the elements of `bytes`, which holds exactly as many of `type`; false where `type` is
  /// not a floating-point one.
  static func floats(
    _ bytes: UnsafeRawBufferPointer, _ type: ElementType, into values: UnsafeMutableBufferPointer<Float>
  ) -> Bool {
    // Safe: callers pass exactly values.count elements of `type`; loads are unaligned, as offsets in files
    // are.
    switch type {
    case .f32:
      UnsafeMutableRawBufferPointer(values).copyMemory(from: bytes)
    case .f16:
      for index in values.indices {
        values[index] = float(half: bytes.loadUnaligned(fromByteOffset: 2 * index, as: UInt16.self))
      }
    case .bf16:
      for index in values.indices {
        let bits = bytes.loadUnaligned(fromByteOffset: 2 * index, as: UInt16.self)
        values[index] = Float(bitPattern: UInt32(bits) << 16)
      }
    case .f64:
      for index in values.indices {
        values[index] = Float(bytes.loadUnaligned(fromByteOffset: 8 * index, as: Double.self))
      }
    default:
      guard let blocks = type.blocks, let source = bytes.baseAddress, let target = values.baseAddress else {
        return type.blocks != nil
      }
      // Safe: callers pass whole blocks, and room for all of their numbers.
      meander_widen_blocks(blocks, source, bytes.count / type.byteCount, target)
    }
    return true
  }

  /// The value of an IEEE half, exactly: exponent and mantissa moved in place and rescaled by 2^112, which
  /// makes normal numbers of subnormal ones; infinity and NaN get their exponent back.
  @inline(__always)
  static func float(half: UInt16) -> Float {
    let magnitude = UInt32(half & 0x7FFF) << 13
    let scaled = (Float(bitPattern: magnitude) * 0x1p112).bitPattern
    let special: UInt32 = magnitude >= 0x0F80_0000 ? 0x7F80_0000 : 0
    return Float(bitPattern: scaled | special | UInt32(half & 0x8000) << 16)
  }

  /// The integers in `bytes`; nil where `type` holds none, or where one passes 63 bits.
  static func integers(_ bytes: UnsafeRawBufferPointer, _ type: ElementType) -> [Int64]? {
    func widened<Stored: FixedWidthInteger & BitwiseCopyable>(_: Stored.Type) -> [Int64]? {
      let width = MemoryLayout<Stored>.size
      var values: [Int64] = []
      values.reserveCapacity(bytes.count / width)
      for offset in stride(from: 0, to: bytes.count, by: width) {
        // Safe: `bytes` holds a whole number of elements, and every bit pattern is a number.
        guard let value = Int64(exactly: bytes.loadUnaligned(fromByteOffset: offset, as: Stored.self)) else {
          return nil
        }
        values.append(value)
      }
      return values
    }
    switch type {
    case .i64: return widened(Int64.self)
    case .i32: return widened(Int32.self)
    case .i16: return widened(Int16.self)
    case .i8: return widened(Int8.self)
    case .u64: return widened(UInt64.self)
    case .u32: return widened(UInt32.self)
    case .u16: return widened(UInt16.self)
    case .u8, .bool: return widened(UInt8.self)
    default: return nil
    }
  }
}

/// Numbers made narrower for storage.
package enum Narrowing {
  /// The nearest bf16 of each, ties to even, little-endian; a NaN stays one.
  package static func bf16(_ values: [Float]) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(2 * values.count)
    for value in values {
      let bits = value.bitPattern
      let rounded = value.isNaN ? bits >> 16 | 0x40 : (bits &+ 0x7fff &+ (bits >> 16 & 1)) >> 16
      bytes.append(UInt8(rounded & 0xff))
      bytes.append(UInt8(rounded >> 8 & 0xff))
    }
    return bytes
  }
}
