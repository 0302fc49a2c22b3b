import CMeanderKernels

/// What a tensor's elements are stored as: number by number, spelled as safetensors files do, or in blocks that share
/// scales, spelled as GGUF files are.
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
  case q4_0 = "Q4_0"
  case q4_1 = "Q4_1"
  case q5_0 = "Q5_0"
  case q5_1 = "Q5_1"
  case q8_0 = "Q8_0"
  case q2_k = "Q2_K"
  case q3_k = "Q3_K"
  case q4_k = "Q4_K"
  case q5_k = "Q5_K"
  case q6_k = "Q6_K"
  case iq4_nl = "IQ4_NL"
  case iq4_xs = "IQ4_XS"

  /// How numbers are stored in blocks; nil where each is stored by itself.
  package var blocks: meander_block_kind? {
    switch self {
    case .q4_0: .q4_0
    case .q4_1: .q4_1
    case .q5_0: .q5_0
    case .q5_1: .q5_1
    case .q8_0: .q8_0
    case .q2_k: .q2_k
    case .q3_k: .q3_k
    case .q4_k: .q4_k
    case .q5_k: .q5_k
    case .q6_k: .q6_k
    case .iq4_nl: .iq4_nl
    case .iq4_xs: .iq4_xs
    default: nil
    }
  }

  // Safe, here and below: a constant of the program.
  /// Numbers that are stored together: 1 but for blocks.
  package var blockCount: Int { blocks.map { meander_layout_of_blocks($0).pointee.count } ?? 1 }

  /// Bytes of one element, or of one block of them.
  package var byteCount: Int {
    switch self {
    case .f64, .i64, .u64: 8
    case .f32, .i32, .u32: 4
    case .f16, .bf16, .i16, .u16: 2
    default: blocks.map { meander_layout_of_blocks($0).pointee.byte_count } ?? 1
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

  /// Nil where a dimension is negative, where the bytes would not fit 63 bits, and where a row is no whole number of
  /// blocks.
  package init?(name: String, type: ElementType, shape: [Int]) {
    let block = type.blockCount
    var bytes = type.byteCount
    for (index, dimension) in shape.enumerated() {
      let isRow = index == shape.count - 1
      guard dimension >= 0, !isRow || dimension.isMultiple(of: block) else { return nil }
      let (product, overflow) = bytes.multipliedReportingOverflow(by: isRow ? dimension / block : dimension)
      guard !overflow else { return nil }
      bytes = product
    }
    let (count, overflow) = (bytes / type.byteCount).multipliedReportingOverflow(by: block)
    guard block == 1 || !shape.isEmpty, !overflow else { return nil }
    self.name = name
    self.type = type
    self.shape = shape
    self.count = count
  }

  /// The same by another name.
  func named(_ name: String) -> TensorEntry { TensorEntry(name, self) }

  private init(_ name: String, _ other: TensorEntry) {
    (self.name, type, shape, count) = (name, other.type, other.shape, other.count)
  }

  package var byteCount: Int { count / type.blockCount * type.byteCount }
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
