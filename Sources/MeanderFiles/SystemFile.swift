import Glibc
import SystemPackage

/// Small text files that the kernel writes on the fly (`/proc`, `/sys`), whose size is not known before they
/// are read.
enum SystemFile {
  /// The text of `path`, at most 64 KiB of it; nil where it cannot be read.
  static func text(_ path: String) -> String? {
    guard let descriptor = try? FileDescriptor.open(path, .readOnly, options: [.closeOnExec]) else {
      return nil
    }
    defer { try? descriptor.close() }
    var bytes = [UInt8](repeating: 0, count: 1 << 16)
    var count = 0
    while count < bytes.count {
      // Safe: the read stores at most what is left of the buffer.
      let read = try? bytes.withUnsafeMutableBytes {
        try descriptor.read(into: UnsafeMutableRawBufferPointer(rebasing: $0[count...]))
      }
      guard let read else { return nil }
      if read == 0 { break }
      count += read
    }
    return String(decoding: bytes[..<count], as: UTF8.self)
  }
}

/// How much memory this process holds, in bytes.
package enum ProcessMemory {
  /// Resident now; 0 where the system does not tell.
  package static var resident: Int { kibibytes("VmRSS:") << 10 }
  /// The most that was resident at any time; 0 where the system does not tell.
  package static var peak: Int { kibibytes("VmHWM:") << 10 }

  private static func kibibytes(_ field: String) -> Int {
    let line = SystemFile.text("/proc/self/status")?.split(separator: "\n").first { $0.hasPrefix(field) }
    let words = line?.split { $0 == " " || $0 == "\t" } ?? []
    return words.count > 1 ? Int(words[1]) ?? 0 : 0
  }
}

/// The terminal, where there is one.
package enum Terminal {
  package enum Stream: CInt, Sendable { case input = 0, output = 1, error = 2 }

  package static func isTerminal(_ stream: Stream) -> Bool { isatty(stream.rawValue) == 1 }

  /// How many columns the terminal behind `stream` has; nil where it is none.
  package static func width(_ stream: Stream) -> Int? {
    var size = winsize()
    // Safe: the request stores one winsize.
    guard isTerminal(stream), ioctl(stream.rawValue, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else {
      return nil
    }
    return Int(size.ws_col)
  }
}
