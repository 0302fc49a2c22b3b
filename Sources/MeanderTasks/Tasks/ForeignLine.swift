/// Lines that do not belong into a log, of ten kinds: what a reader of logs should find strange. Each draw differs in
/// its numbers.
package enum ForeignLine: String, Sendable, CaseIterable {
  case pageFault = "page fault"
  case traceback
  case segfault
  case duplicateKey = "duplicate key"
  case pathTraversal = "path traversal"
  case json
  case blob
  case failedLogin = "failed login"
  case outOfMemory = "out of memory"
  case prose

  /// One line without its line break.
  package func draw(using generator: inout TaskGenerator) -> String {
    func number(_ range: ClosedRange<Int>) -> Int { generator.integer(in: range) }
    func hex(_ count: Int) -> String {
      String(decoding: (0..<count).map { _ in Array("0123456789abcdef".utf8)[generator.below(16)] }, as: UTF8.self)
    }
    switch self {
    case .pageFault: return "kernel: BUG: unable to handle page fault for address: ffff\(hex(12))"
    case .traceback:
      return
        "Traceback (most recent call last): File \"/srv/\(generator.pick(Words.all))/worker.py\", "
        + "line \(number(10...900)), in run"
    case .segfault:
      return
        "\(generator.pick(Words.all))[\(number(300...32000))]: segfault at \(hex(8)) "
        + "ip 00007f\(hex(10)) error 4 in libcore.so.6"
    case .duplicateKey:
      return
        "ERROR:  duplicate key value violates unique constraint "
        + "\"\(generator.pick(Words.all))_pkey\" (id)=(\(number(1...99999)))"
    case .pathTraversal:
      return "GET /\(generator.pick(Words.all))/../../../../etc/passwd?id=\(number(1...999)) HTTP/1.1 400"
    case .json:
      return "{\"level\":\"fatal\",\"msg\":\"quota exceeded\",\"user\":\(number(100...99999)),\"trace\":\"\(hex(16))\"}"
    case .blob:
      let letters = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
      return String(decoding: (0..<64).map { _ in letters[generator.below(64)] }, as: UTF8.self)
    case .failedLogin:
      return "sshd[\(number(300...32000))]: Failed password for invalid user \(generator.pick(Words.all)) "
        + "from 203.0.113.\(number(1...254)) port \(number(1024...65535)) ssh2"
    case .outOfMemory:
      return
        "Out of memory: Killed process \(number(300...32000)) (\(generator.pick(Words.all))) "
        + "anon-rss:\(number(100_000...9_000_000))kB"
    case .prose:
      return
        "Somebody please look at disk \(number(1...9)): "
        + "it has been clicking since \(number(1...12)) o'clock, and I am worried."
    }
  }
}
