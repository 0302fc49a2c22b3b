import CMeanderKernels
import MeanderErrors
import MeanderFiles
import MeanderKernels

/// Where an architecture takes its weights from: each tensor is named once, with its shape, where it is used.
///
/// An architecture is built twice. The first time its tensors are only declared, and all that are missing, unexpected or
/// of another shape are reported together; the second time they are read, packed and counted into the fingerprint. In
/// training it is built from parameters before each step, and what it is built of knows the parameters that it came from.
package final class WeightReader {
  private enum Origin {
    /// Nothing is read yet.
    case declaring
    case store(TensorStore)
    case parameters(Parameters)
  }

  /// How much of the past attention is to keep.
  package private(set) var context = ContextBound.standard
  private var origin = Origin.declaring
  private let table: KernelTable
  private let compute: Compute
  private var declared: [TensorDeclaration] = []
  private var names: Set<String> = []
  /// How many more numbers may be declared before the configuration cannot be this file's.
  private var room = 1 << 40
  /// What the file's tensors are stored as, and what to call it.
  private var types: [String: ElementType] = [:]
  private var shapes: [String: [Int]] = [:]
  private var path = "the model"
  private var digest = Fingerprint()
  /// How many numbers were read since the file's pages were last given back.
  private var unreleased = 0
  /// Pages of so many numbers at most lie in memory beside the packed weights.
  private static let largestUnreleased = 2 << 20

  /// Bytes of all weights as they lie packed.
  private(set) var byteCount = 0
  /// How many numbers the model has.
  var parameterCount: Int { declared.reduce(0) { $0 + ($1.optional ? 0 : $1.shape.reduce(1, *)) } }

  /// Builds `model` from `store`, after all of its tensors were held against the file.
  package static func build<Model>(
    from store: TensorStore, table: KernelTable, compute: Compute, context: ContextBound = .standard,
    _ model: (WeightReader) throws -> Model
  ) throws -> (model: Model, reader: WeightReader) {
    let reader = WeightReader(table: table, compute: compute)
    reader.context = context
    reader.types = store.entries.mapValues(\.type)
    reader.shapes = store.entries.mapValues(\.shape)
    reader.path = store.path
    reader.room = room(of: store)
    _ = try model(reader)
    try store.check(reader.declared)
    reader.origin = .store(store)
    let built = try model(reader)
    store.release()
    return (built, reader)
  }

  /// How many numbers a configuration may describe that is of `store`.
  static func room(of store: TensorStore) -> Int { 2 * store.entries.values.reduce(0) { $0 + $1.count } + 1 << 20 }

  /// The tensors that `model` names, in its order, and those that a file may hold as a copy of something else.
  ///
  /// - Parameter room: how many numbers they may have, all together.
  package static func declarations<Model>(
    room: Int? = nil, of model: (WeightReader) throws -> Model
  ) throws -> [TensorDeclaration] {
    let reader = WeightReader(table: .best, compute: .fp32)
    if let room { reader.room = room }
    _ = try model(reader)
    return reader.declared
  }

  /// Builds `model` from parameters, in fp32.
  package static func build<Model>(
    from parameters: Parameters, table: KernelTable, _ model: (WeightReader) throws -> Model
  ) throws -> Model {
    let reader = WeightReader(table: table, compute: .fp32)
    reader.origin = .parameters(parameters)
    return try model(reader)
  }

  private init(table: KernelTable, compute: Compute) {
    self.table = table
    self.compute = compute
  }

  /// The identity of all weights read so far, by value: a file in bf16 and the same numbers in fp32 agree.
  var fingerprint: String { digest.hexadecimal }

  /// The shape of the file's tensor `name`; nil where there is none, or no file.
  func shape(of name: String) -> [Int]? { shapes[name] }

  /// Whether the file has a tensor called `name`.
  func has(_ name: String) -> Bool { types[name] != nil }

  /// Declares that the file may hold `name` as a copy of something else, which is not read.
  func ignore(_ name: String, shape: [Int]) {
    if case .declaring = origin { declared.append(TensorDeclaration(name, shape, optional: true)) }
  }

  /// A vector or small tensor of `shape`.
  func values(_ name: String, shape: [Int]) throws -> [Float] {
    switch origin {
    case .declaring:
      try declare(name, shape)
      return [Float](repeating: 1, count: shape.reduce(1, *))
    case .parameters(let parameters):
      return parameters.matrix(name).array()
    case .store(let store):
      let values = try store.floats(name)
      digest.add(values)
      release(store, after: values.count)
      byteCount += values.count * 4
      return values
    }
  }

  /// A vector as a 1 × n matrix.
  package func row(_ name: String, count: Int) throws -> Matrix {
    if case .parameters(let parameters) = origin { return parameters.matrix(name) }
    return Matrix(try values(name, shape: [count]), rows: 1, columns: count)
  }

  /// A small tensor of rows × columns that is not packed.
  package func matrix(_ name: String, rows: Int, columns: Int) throws -> Matrix {
    if case .parameters(let parameters) = origin { return parameters.matrix(name) }
    return Matrix(try values(name, shape: [rows, columns]), rows: rows, columns: columns)
  }

  /// Rows of a weight of outputs × inner, in the order of `ranges` (all of them when nil), packed for the product. `shape` is
  /// what the file calls it where that has more dimensions.
  package func weight(
    _ name: String, outputs: Int, inner: Int, rows ranges: [Range<Int>]? = nil, bias: String? = nil, shape: [Int]? = nil
  ) throws -> Weight {
    let ranges = ranges ?? [0..<outputs]
    let order = ranges.flatMap { Array($0) }
    let biases = try bias.map { try row($0, count: outputs) }
    let picked = biases.map { biases in
      Matrix(ranges.flatMap { biases.columns($0).array() }, rows: 1, columns: order.count)
    }
    switch origin {
    case .declaring:
      try declare(name, shape ?? [outputs, inner])
      return Weight(PackedMatrix(outputs: 0, inner: inner, element: .fp32, table: table) { _, _ in }, bias: picked)
    case .parameters(let parameters):
      let all = parameters.matrix(name)
      let sources = ranges.map { all.rows($0) }
      return Weight(
        PackedMatrix(sources, table: table), bias: picked, sources: sources,
        biasSources: biases.map { biases in ranges.map { biases.columns($0) } } ?? [])
    case .store(let store):
      let packed: PackedMatrix
      if compute != .bf16, let blocks = types[name]?.blocks {
        packed = try packedBlocks(name, blocks, order, inner, store)
      } else {
        packed = try PackedMatrix(outputs: order.count, inner: inner, element: element(of: name), table: table) {
          output, values in
          let start = order[output] * inner
          try store.floats(name, start..<start + inner, into: &values)
          digest.add(values)
          release(store, after: inner)
        }
      }
      byteCount += packed.byteCount
      return Weight(packed, bias: picked)
    }
  }

  /// Rows that were read before, packed as the tensor `name` would be.
  func packed(
    outputs: Int, inner: Int, like name: String, _ row: (_ output: Int, _ values: inout [Float]) -> Void
  ) -> PackedMatrix {
    if case .declaring = origin {
      return PackedMatrix(outputs: 0, inner: inner, element: .fp32, table: table) { _, _ in }
    }
    return PackedMatrix(outputs: outputs, inner: inner, element: element(of: name), table: table, row: row)
  }

  /// Rows of a weight in quantised blocks, which stay as they are. The fingerprint takes their values, as it does of others.
  private func packedBlocks(
    _ name: String, _ blocks: meander_block_kind, _ order: [Int], _ inner: Int, _ store: TensorStore
  ) throws -> PackedMatrix {
    var values: [Float] = []
    return try PackedMatrix(outputs: order.count, inner: inner, blocks: blocks) { output, bytes in
      let range = order[output] * inner..<(order[output] + 1) * inner
      try store.bytes(name, range, into: &bytes)
      try store.floats(name, range, into: &values)
      digest.add(values)
      release(store, after: inner)
    }
  }

  /// Gives back the file's pages every few megabytes: a file and its packed copy would together take twice the memory.
  private func release(_ store: TensorStore, after count: Int) {
    unreleased += count
    guard unreleased >= Self.largestUnreleased else { return }
    store.release()
    unreleased = 0
  }

  /// Packed as bf16 where the file holds bf16 (exact), or where the products round to it anyway.
  private func element(of name: String) -> PackedMatrix.Element {
    compute == .bf16 || types[name] == .bf16 ? .bf16 : .fp32
  }

  /// Notes the tensor in the first pass.
  ///
  /// A configuration that describes far more than the file holds is refused at once, before it costs memory.
  private func declare(_ name: String, _ shape: [Int]) throws {
    guard names.insert(name).inserted else { return }
    declared.append(TensorDeclaration(name, shape))
    var count = 1
    for size in shape { count = count.multipliedReportingOverflow(by: size).partialValue }
    room -= max(0, count)
    guard room >= 0, count >= 0 else {
      throw MeanderError(
        .badData, "the configuration describes far more numbers than the weights hold", at: "\(path), \(name)",
        remedy: "Check that the weights and config.json belong to the same model.")
    }
  }
}

extension WeightReader {
  /// A depthwise convolution, its taps stored as C × 1 × K and turned to K × C, so that channels are lanes.
  package func convolution(_ name: String, channels: Int, width: Int, bias: String?) throws -> ConvolutionWeight {
    let values = try values(name, shape: [channels, 1, width])
    let turned = (0..<width).flatMap { tap in (0..<channels).map { values[$0 * width + tap] } }
    return ConvolutionWeight(
      taps: Matrix(turned, rows: width, columns: channels), bias: try bias.map { try row($0, count: channels) },
      source: parameter(name))
  }

  /// In training, the parameter `name` itself.
  package func parameter(_ name: String) -> Matrix? {
    if case .parameters(let parameters) = origin { parameters.matrix(name) } else { nil }
  }
}
