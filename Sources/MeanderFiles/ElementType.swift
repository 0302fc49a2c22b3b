/// What a tensor's elements are stored as, spelled as safetensors files do.
package enum ElementType: String, Sendable, CaseIterable {
  case f64 = "F64"
  case f32 = "F32"
  case f16 = "F16"
  case bf16 = "BF16"
  case i64 = "I64"
  case i32 = "I32"
  case i16 = "I16"
  case i8 = "I8"
  case u64 = "U64"
  case u32 = "U32"
  case u16 = "U16"
  case u8 = "U8"
  case bool = "BOOL"

  /// Bytes of one element.
  package var byteCount: Int {
    switch self {
    case .f64, .i64, .u64: 8
    case .f32, .i32, .u32: 4
    case .f16, .bf16, .i16, .u16: 2
    case .i8, .u8, .bool: 1
    }
  }
}

/// One tensor of a file: its name, what it holds, and its shape (outermost dimension first; empty for a
/// scalar).
package struct TensorEntry: Sendable, Hashable {
  package let name: String
  package let type: ElementType
  package let shape: [Int]
  /// The number of elements: the product of the shape.
  package let count: Int

  /// Nil where a dimension is negative or the bytes would not fit 63 bits.
  package init?(name: String, type: ElementType, shape: [Int]) {
    var bytes = type.byteCount
    for dimension in shape {
      let (product, overflow) = bytes.multipliedReportingOverflow(by: dimension)
      guard dimension >= 0, !overflow else { return nil }
      bytes = product
    }
    self.name = name
    self.type = type
    self.shape = shape
    count = bytes / type.byteCount
  }

  package var byteCount: Int { count * type.byteCount }
}

/// What an architecture expects to find: a tensor's name and shape.
package struct TensorDeclaration: Sendable {
  package let name: String
  package let shape: [Int]
  /// Other names under which published files hold it.
  package let alternatives: [String]
  package let optional: Bool

  package init(_ name: String, _ shape: [Int], alternatives: [String] = [], optional: Bool = false) {
    self.name = name
    self.shape = shape
    self.alternatives = alternatives
    self.optional = optional
  }
}
