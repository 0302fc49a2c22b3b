/// The instructions that a pickled state dictionary needs.
enum PickleInstruction: UInt8 {
  case proto = 0x80
  case stop = 0x2E
  case mark = 0x28
  case none = 0x4E
  case newTrue = 0x88
  case newFalse = 0x89
  case binInt = 0x4A
  case binInt1 = 0x4B
  case binInt2 = 0x4D
  case long1 = 0x8A
  case binFloat = 0x47
  case binUnicode = 0x58
  case emptyTuple = 0x29
  case tuple = 0x74
  case tuple1 = 0x85
  case tuple2 = 0x86
  case tuple3 = 0x87
  case emptyList = 0x5D
  case append = 0x61
  case appends = 0x65
  case emptyDictionary = 0x7D
  case setItem = 0x73
  case setItems = 0x75
  case binGet = 0x68
  case longBinGet = 0x6A
  case binPut = 0x71
  case longBinPut = 0x72
  case global = 0x63
  case binPersistentID = 0x51
  case reduce = 0x52
  case build = 0x62

  /// What pickletools calls an instruction, for the message that refuses it.
  static func name(_ code: UInt8) -> String {
    let names: [UInt8: String] = [
      0x30: "POP", 0x31: "POP_MARK", 0x32: "DUP", 0x46: "FLOAT", 0x49: "INT", 0x4C: "LONG", 0x50: "PERSID",
      0x53: "STRING", 0x54: "BINSTRING", 0x55: "SHORT_BINSTRING", 0x56: "UNICODE", 0x64: "DICT", 0x67: "GET",
      0x69: "INST", 0x6C: "LIST", 0x6F: "OBJ", 0x70: "PUT", 0x81: "NEWOBJ", 0x82: "EXT1", 0x83: "EXT2",
      0x84: "EXT4",
      0x8B: "LONG4", 0x42: "BINBYTES", 0x43: "SHORT_BINBYTES", 0x8C: "SHORT_BINUNICODE", 0x8D: "BINUNICODE8",
      0x8E: "BINBYTES8", 0x8F: "EMPTY_SET", 0x90: "ADDITEMS", 0x91: "FROZENSET", 0x92: "NEWOBJ_EX",
      0x93: "STACK_GLOBAL", 0x94: "MEMOIZE", 0x95: "FRAME", 0x96: "BYTEARRAY8", 0x97: "NEXT_BUFFER",
      0x98: "READONLY_BUFFER",
    ]
    return names[code] ?? "0x" + String(code, radix: 16)
  }
}

/// The names that a pickled state dictionary may ask for.
enum PickleName: CustomStringConvertible {
  case orderedDictionary
  case rebuildTensor
  case rebuildParameter
  case storage(ElementType)

  init?(_ name: String) {
    switch name {
    case "collections.OrderedDict": self = .orderedDictionary
    case "torch._utils._rebuild_tensor_v2": self = .rebuildTensor
    case "torch._utils._rebuild_parameter": self = .rebuildParameter
    default:
      guard name.hasPrefix("torch."), let type = Self.storages[String(name.dropFirst(6))] else { return nil }
      self = .storage(type)
    }
  }

  private static let storages: [String: ElementType] = [
    "DoubleStorage": .f64, "FloatStorage": .f32, "HalfStorage": .f16, "BFloat16Storage": .bf16,
    "LongStorage": .i64,
    "IntStorage": .i32, "ShortStorage": .i16, "CharStorage": .i8, "ByteStorage": .u8, "BoolStorage": .bool,
  ]

  var description: String {
    switch self {
    case .orderedDictionary: "collections.OrderedDict"
    case .rebuildTensor: "torch._utils._rebuild_tensor_v2"
    case .rebuildParameter: "torch._utils._rebuild_parameter"
    case .storage(let type): "a storage of \(type.rawValue)"
    }
  }
}
