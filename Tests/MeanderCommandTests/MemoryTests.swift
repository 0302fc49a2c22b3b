import Foundation
import Testing

/// Memory does not grow with what was read: 2 million tokens here, of which not the half could be kept unnoticed; 10
/// million with `MEANDER_LONG=1` (`make test-long`).
@Suite struct MemoryTests {
  @Test func isConstant() throws {
    let scratch = try Scratch()
    let line = Array("2024-05-11 10:00:00 status installed libc6:amd64 2.36-9\n".utf8)
    func peak(_ bytes: Int) throws -> Double {
      var input = [UInt8]()
      input.reserveCapacity(bytes + line.count)
      while input.count < bytes { input += line }
      let result = try Command.run(["stream", "-m", "passkey", "--snapshot", "s"], in: scratch, input: .bytes(input))
      #expect(result.status == 0, "\(result.errors)")
      let words = try #require(result.errors.components(separatedBy: "peak RSS ").last?.split(separator: " "))
      return try #require(Double(words[0])) * (words[1].hasPrefix("k") ? 1e3 : 1e6)
    }
    let short = try peak(100_000)
    let isLong = ProcessInfo.processInfo.environment["MEANDER_LONG"] == "1"
    let long = try peak(isLong ? 10_000_000 : 2_000_000)
    #expect(long - short < (isLong ? 4 : 1) * 1_048_576)
  }
}
