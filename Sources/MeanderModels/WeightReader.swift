import MeanderErrors
import MeanderFiles
import MeanderKernels

/// Where an architecture takes its weights from: each tensor is named once, with its shape, where it is used.
///
/// An architecture is built twice. The first time its tensors are only declared, and all that are missing, unexpected or
/// of another shape are reported together; the second time they are read, packed and counted into the fingerprint.
package final class WeightReader {
  private let store: TensorStore
  private let table: KernelTable
  private let compute: Compute
  private var declared: [TensorDeclaration] = []
  private var names: Set<String> = []
  /// How many more numbers may be declared before the configuration cannot be this file's.
  private var room: Int
  private var isDeclaring = true
  private var digest = Fingerprint()

  /// Bytes of all weights as they lie packed.
  private(set) var byteCount = 0
  /// How many numbers the model has.
  var parameterCount: Int { declared.reduce(0) { $0 + ($1.optional ? 0 : $1.shape.reduce(1, *)) } }

  /// Builds `model` from `store`, after all of its tensors were held against the file.
  static func build<Model>(
    from store: TensorStore, table: KernelTable, compute: Compute, _ model: (WeightReader) throws -> Model
  ) throws -> (model: Model, reader: WeightReader) {
    let reader = WeightReader(store: store, table: table, compute: compute)
    _ = try model(reader)
    try store.check(reader.declared)
    reader.isDeclaring = false
    let built = try model(reader)
    store.release()
    return (built, reader)
  }

  private init(store: TensorStore, table: KernelTable, compute: Compute) {
    self.store = store
    self.table = table
    self.compute = compute
    room = 2 * store.entries.values.reduce(0) { $0 + $1.count } + 1 << 20
  }

  /// The identity of all weights read so far, by value: a file in bf16 and the same numbers in fp32 agree.
  var fingerprint: String { digest.hexadecimal }

  /// Whether the file has a tensor called `name`.
  func has(_ name: String) -> Bool { store.entries[name] != nil }

  /// Declares that the file may hold `name` as a copy of something else, which is not read.
  func ignore(_ name: String, shape: [Int]) {
    if isDeclaring { declared.append(TensorDeclaration(name, shape, optional: true)) }
  }

  /// A vector or small tensor of `shape`.
  func values(_ name: String, shape: [Int]) throws -> [Float] {
    let count = shape.reduce(1, *)
    guard try !declare(name, shape) else { return [Float](repeating: 1, count: count) }
    let values = try store.floats(name)
    digest.add(values)
    byteCount += count * 4
    return values
  }

  /// A vector as a 1 × n matrix.
  func row(_ name: String, count: Int) throws -> Matrix {
    Matrix(try values(name, shape: [count]), rows: 1, columns: count)
  }

  /// Rows of a weight of outputs × inner, in the order of `ranges` (all of them when nil), packed for the product.
  func weight(
    _ name: String, outputs: Int, inner: Int, rows ranges: [Range<Int>]? = nil, bias: String? = nil
  ) throws -> Weight {
    let order = ranges.map { $0.flatMap { Array($0) } } ?? Array(0..<outputs)
    let isPlaceholder = try declare(name, [outputs, inner])
    let biases = try bias.map { try values($0, shape: [outputs]) }
    let picked = biases.map { all in Matrix(order.map { all[$0] }, rows: 1, columns: order.count) }
    if isPlaceholder {
      return Weight(PackedMatrix(outputs: 0, inner: inner, element: .fp32, table: table) { _, _ in }, bias: picked)
    }
    let packed = try PackedMatrix(outputs: order.count, inner: inner, element: element(of: name), table: table) { output, values in
      let start = order[output] * inner
      try store.floats(name, start..<start + inner, into: &values)
      digest.add(values)
    }
    byteCount += packed.byteCount
    return Weight(packed, bias: picked)
  }

  /// Packed as bf16 where the file holds bf16 (exact), or where the products round to it anyway.
  private func element(of name: String) -> PackedMatrix.Element {
    compute == .bf16 || store.entries[name]?.type == .bf16 ? .bf16 : .fp32
  }

  /// Notes the tensor in the first pass; true then, for there is nothing to read yet.
  ///
  /// A configuration that describes far more than the file holds is refused at once, before it costs memory.
  private func declare(_ name: String, _ shape: [Int]) throws -> Bool {
    guard isDeclaring, names.insert(name).inserted else { return isDeclaring }
    declared.append(TensorDeclaration(name, shape))
    var count = 1
    for size in shape { count = count.multipliedReportingOverflow(by: size).partialValue }
    room -= max(0, count)
    guard room >= 0, count >= 0 else {
      throw MeanderError(
        .badData, "the configuration describes far more numbers than the weights hold", at: "\(store.path), \(name)",
        remedy: "Check that the weights and config.json belong to the same model.")
    }
    return true
  }
}

extension WeightReader {
  /// The taps of a depthwise convolution, stored as C × 1 × K and turned to K × C, so that channels are lanes.
  func convolution(_ name: String, channels: Int, width: Int) throws -> Matrix {
    let values = try values(name, shape: [channels, 1, width])
    let turned = (0..<width).flatMap { tap in (0..<channels).map { values[$0 * width + tap] } }
    return Matrix(turned, rows: width, columns: channels)
  }
}
