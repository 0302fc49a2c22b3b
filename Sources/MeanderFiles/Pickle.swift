import MeanderErrors

/// A reader of pickled state dictionaries that can build tensors and nothing else.
///
/// Pickle is a program for a stack machine (Python's pickletools documents it). This machine knows the
/// instructions that PyTorch's `torch.save` of a state dictionary uses in protocol 2, and "calls" only the
/// names in `PickleName`, each of which it replaces by a record; every other instruction or name is refused
/// by name. There are no jumps, so it ends after as many steps as there are bytes, and containers are rows of
/// tables, so no value can nest or refer in a circle.
struct Pickle {
  /// One value on the stack. Containers are numbers of rows in the machine's tables.
  enum Value {
    case none
    case bool(Bool)
    case integer(Int)
    case double(Double)
    case string(String)
    case name(PickleName)
    case tuple(Int)
    case list
    case dictionary(Int)
    case storage(Int)
    case tensor(Int)
  }

  /// A run of elements in the archive.
  struct Storage {
    let type: ElementType
    let key: String
    let count: Int
  }

  /// A view of a storage, as yet unchecked.
  struct Tensor {
    let storage: Storage
    let offset: Int
    let shape: [Int]
    let strides: [Int]
  }

  /// One item of the dictionary.
  typealias Item = (name: String, tensor: Tensor)

  private let path: String
  private let range: Range<Int>
  private var position: Int
  private var stack: [Value] = []
  private var marks: [Int] = []
  private var memo: [Int: Value] = [:]
  private var tuples: [[Value]] = []
  private var dictionaries: [[(key: Value, value: Value)]] = []
  private var storages: [Storage] = []
  private var tensors: [Tensor] = []

  /// The tensors of the state dictionary pickled at `range` of `bytes`, in its order.
  static func stateDictionary(_ bytes: FileBytes, _ range: Range<Int>) throws -> [Item] {
    var machine = Pickle(path: bytes.path, range: range, position: range.lowerBound)
    return try bytes.withBytes { try machine.run($0) }
  }

  private init(path: String, range: Range<Int>, position: Int) {
    self.path = path
    self.range = range
    self.position = position
  }

  private func failure(_ what: String) -> MeanderError {
    MeanderError(
      .badData, "the pickle cannot be read: \(what)", at: "\(path), byte \(position)",
      remedy: "Only a plain state dictionary of tensors is read; save the weights as safetensors.")
  }

  private mutating func run(_ bytes: RawSpan) throws -> [Item] {
    while position < range.upperBound {
      let code = bytes.byte(position)
      guard let instruction = PickleInstruction(rawValue: code) else {
        throw failure("the instruction \(PickleInstruction.name(code)) is not allowed")
      }
      position += 1
      if instruction == .stop { return try result() }
      try step(instruction, bytes)
    }
    throw failure("it ends without STOP")
  }

  private func result() throws -> [Item] {
    guard stack.count == 1, marks.isEmpty, case .dictionary(let row) = stack[0] else {
      throw failure("it does not hold a dictionary")
    }
    return try dictionaries[row].map { item in
      guard case .string(let name) = item.key else { throw failure("a key of the dictionary is no string") }
      guard case .tensor(let index) = item.value else { throw failure("'\(name)' is not a tensor") }
      return (name, tensors[index])
    }
  }

  private mutating func step(_ instruction: PickleInstruction, _ bytes: RawSpan) throws {
    switch instruction {
    case .proto:
      if try integer(bytes, UInt8.self) != 2 { throw failure("it is not of protocol 2") }
    case .stop: break
    case .mark: marks.append(stack.count)
    case .none: stack.append(.none)
    case .newTrue: stack.append(.bool(true))
    case .newFalse: stack.append(.bool(false))
    case .binInt: stack.append(.integer(try integer(bytes, Int32.self)))
    case .binInt1: stack.append(.integer(try integer(bytes, UInt8.self)))
    case .binInt2: stack.append(.integer(try integer(bytes, UInt16.self)))
    case .long1: stack.append(.integer(try long(bytes)))
    case .binFloat: stack.append(.double(try double(bytes)))
    case .binUnicode: stack.append(.string(try text(bytes, count: try integer(bytes, UInt32.self))))
    case .emptyTuple: pushTuple([])
    case .tuple: pushTuple(try popToMark())
    case .tuple1: pushTuple(try pop(1))
    case .tuple2: pushTuple(try pop(2))
    case .tuple3: pushTuple(try pop(3))
    case .emptyList: stack.append(.list)
    case .append:
      _ = try pop(1)
      try requireList()
    case .appends:
      _ = try popToMark()
      try requireList()
    case .emptyDictionary: pushDictionary()
    case .setItem: try setItems(try pop(2))
    case .setItems: try setItems(try popToMark())
    case .binGet: try get(try integer(bytes, UInt8.self))
    case .longBinGet: try get(try integer(bytes, UInt32.self))
    case .binPut: try put(try integer(bytes, UInt8.self))
    case .longBinPut: try put(try integer(bytes, UInt32.self))
    case .global: try pushName(bytes)
    case .binPersistentID: try pushStorage()
    case .reduce: try reduce()
    case .build: try build()
    }
  }

  private mutating func integer<Number: FixedWidthInteger & BitwiseCopyable>(
    _ bytes: RawSpan, _: Number.Type
  ) throws -> Int {
    let width = MemoryLayout<Number>.size
    guard width <= range.upperBound - position, let value = bytes.number(position, as: Number.self) else {
      throw failure("it ends inside a number")
    }
    position += width
    return Int(value)
  }

  private mutating func long(_ bytes: RawSpan) throws -> Int {
    let count = try integer(bytes, UInt8.self)
    guard count <= 8, count <= range.upperBound - position else { throw failure("an integer passes 64 bits") }
    var value: UInt64 = 0
    for index in 0..<count { value |= UInt64(bytes.byte(position + index)) << (8 * index) }
    position += count
    // Two's complement: the highest bit given is the sign.
    let shift = 64 - 8 * count
    return count == 0 ? 0 : Int(Int64(bitPattern: value << shift) >> shift)
  }

  private mutating func double(_ bytes: RawSpan) throws -> Double {
    guard range.upperBound - position >= 8, let bits = bytes.number(position, as: UInt64.self) else {
      throw failure("it ends inside a number")
    }
    position += 8
    return Double(bitPattern: bits.byteSwapped)
  }

  private mutating func text(_ bytes: RawSpan, count: Int) throws -> String {
    guard count <= range.upperBound - position else { throw failure("it ends inside a string") }
    guard let text = bytes.text(position..<position + count) else { throw failure("a string is not UTF-8") }
    position += count
    return text
  }

  /// The text up to the end of the line.
  private mutating func line(_ bytes: RawSpan) throws -> String {
    var end = position
    while end < range.upperBound, bytes.byte(end) != 0x0A { end += 1 }
    guard end < range.upperBound, end - position <= 256 else { throw failure("a name does not end") }
    let text = try text(bytes, count: end - position)
    position += 1
    return text
  }

  private mutating func pop(_ count: Int) throws -> [Value] {
    guard stack.count - (marks.last ?? 0) >= count else { throw failure("its stack is empty") }
    defer { stack.removeLast(count) }
    return Array(stack.suffix(count))
  }

  private mutating func popToMark() throws -> [Value] {
    guard let mark = marks.popLast() else { throw failure("there is no mark") }
    defer { stack.removeLast(stack.count - mark) }
    return Array(stack[mark...])
  }

  private mutating func pushTuple(_ values: [Value]) {
    stack.append(.tuple(tuples.count))
    tuples.append(values)
  }

  private mutating func pushDictionary() {
    stack.append(.dictionary(dictionaries.count))
    dictionaries.append([])
  }

  /// What lists hold says nothing about the tensors. (It takes no popped values: a method that does not mutate holds a
  /// copy of the machine while its arguments are computed, and popping would then copy the whole stack each time.)
  private func requireList() throws {
    guard case .list? = stack.last else { throw failure("something is appended to what is no list") }
  }

  private mutating func setItems(_ values: [Value]) throws {
    guard case .dictionary(let row)? = stack.last, values.count.isMultiple(of: 2) else {
      throw failure("items are set in what is no dictionary")
    }
    for index in stride(from: 0, to: values.count, by: 2) {
      dictionaries[row].append((values[index], values[index + 1]))
    }
  }

  private mutating func get(_ index: Int) throws {
    guard let value = memo[index] else { throw failure("it takes back what it never put away") }
    stack.append(value)
  }

  private mutating func put(_ index: Int) throws {
    guard let value = stack.last else { throw failure("its stack is empty") }
    memo[index] = value
  }

  private mutating func pushName(_ bytes: RawSpan) throws {
    let start = position
    let name = try "\(line(bytes)).\(line(bytes))"
    guard let known = PickleName(name) else {
      position = start
      throw failure("it asks for \(name), which is not allowed")
    }
    stack.append(.name(known))
  }

  /// PyTorch's persistent identifier: ("storage", type, key, device, number of elements).
  private mutating func pushStorage() throws {
    guard case .tuple(let row) = try pop(1)[0], case let fields = tuples[row], fields.count == 5,
      case .string("storage") = fields[0], case .name(.storage(let type)) = fields[1],
      case .string(let key) = fields[2],
      case .string = fields[3], case .integer(let count) = fields[4], count >= 0
    else {
      throw failure("a persistent identifier that is no storage")
    }
    stack.append(.storage(storages.count))
    storages.append(Storage(type: type, key: key, count: count))
  }

  private mutating func reduce() throws {
    let values = try pop(2)
    guard case .name(let name) = values[0], case .tuple(let row) = values[1] else {
      throw failure("it calls what is no name")
    }
    let arguments = tuples[row]
    switch name {
    case .orderedDictionary where arguments.isEmpty: pushDictionary()
    case .rebuildTensor: try pushTensor(arguments)
    case .rebuildParameter:
      guard case .tensor(let index)? = arguments.first else { throw failure("a parameter that is no tensor") }
      stack.append(.tensor(index))
    case .orderedDictionary, .storage: throw failure("\(name) is called with arguments that it does not take")
    }
  }

  /// `_rebuild_tensor_v2(storage, offset, shape, strides, requires_grad, hooks)`; metadata may follow.
  private mutating func pushTensor(_ arguments: [Value]) throws {
    guard arguments.count == 6 || arguments.count == 7, case .storage(let storage) = arguments[0],
      case .integer(let offset) = arguments[1], let shape = integers(arguments[2]),
      let strides = integers(arguments[3])
    else {
      throw failure("a tensor is rebuilt from arguments that do not describe one")
    }
    stack.append(.tensor(tensors.count))
    tensors.append(Tensor(storage: storages[storage], offset: offset, shape: shape, strides: strides))
  }

  private func integers(_ value: Value) -> [Int]? {
    guard case .tuple(let row) = value else { return nil }
    let integers = tuples[row].compactMap { if case .integer(let integer) = $0 { integer } else { nil } }
    return integers.count == tuples[row].count ? integers : nil
  }

  /// State dictionaries carry attributes (`_metadata`); they say nothing about the tensors.
  private mutating func build() throws {
    let values = try pop(2)
    guard case .dictionary = values[0], case .dictionary = values[1] else {
      throw failure("attributes are set on what is no dictionary")
    }
    stack.append(values[0])
  }
}
