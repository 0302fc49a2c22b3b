import MeanderFiles

/// The payload: lines on standard output or in a file.
struct Output {
  private let file: OutputFile

  static func standard() -> Output { Output(file: .standardOutput()) }

  /// Opens `path` for writing; what it held is kept up to byte `mark`.
  static func file(_ path: String, keeping mark: Int64 = 0) throws -> Output {
    let file = try OutputFile(path)
    try file.truncate(to: mark)
    return Output(file: file)
  }

  func write(_ text: String) throws { try file.append(Array(text.utf8)) }
  func write(_ bytes: [UInt8]) throws { try file.append(bytes) }
  func line(_ text: String) throws { try line(Array(text.utf8)) }
  func line(_ bytes: [UInt8]) throws { try file.append(bytes + [UInt8(ascii: "\n")]) }
  func flush() throws { try file.flush() }

  /// Flushes, and waits until the disk has it.
  func synchronize() throws { try file.synchronize() }
}
