import ArgumentParser

/// When a stream writes its snapshot: every so many bytes, every so many seconds, or both.
struct SnapshotSchedule: Equatable {
  var bytes: Int64?
  var seconds: Double?

  static let standard = SnapshotSchedule(bytes: nil, seconds: 60)

  func isDue(bytesSince: Int64, secondsSince: Double) -> Bool {
    bytesSince > 0 && (bytesSince >= bytes ?? .max || secondsSince >= seconds ?? .infinity)
  }

  /// The latest place at which a piece that starts `bytesSince` after the last snapshot should end.
  func bytesLeft(after bytesSince: Int64) -> Int64 { bytes.map { max(1, $0 - bytesSince) } ?? .max }
}

extension SnapshotSchedule: ExpressibleByArgument {
  private static let byteUnits: [(suffix: String, size: Int64)] = [("K", 1 << 10), ("M", 1 << 20), ("G", 1 << 30)]
  private static let timeUnits: [(suffix: String, seconds: Int64)] = [("min", 60), ("s", 1), ("h", 3600)]

  /// `1M` (bytes: K, M, G are powers of 1024), `60s` (or `5min`, `1h`), or both as `1M,60s`.
  init?(argument: String) {
    for part in argument.split(separator: ",", omittingEmptySubsequences: false) {
      if let seconds = Self.amount(part, Self.timeUnits) {
        guard self.seconds == nil else { return nil }
        self.seconds = Double(seconds)
      } else if let bytes = Self.amount(part, Self.byteUnits) ?? Int64(part) {
        guard self.bytes == nil, bytes > 0 else { return nil }
        self.bytes = bytes
      } else {
        return nil
      }
    }
  }

  var defaultValueDescription: String { "60s" }

  private static func amount(_ text: Substring, _ units: [(String, Int64)]) -> Int64? {
    for (suffix, unit) in units where text.hasSuffix(suffix) {
      guard let count = Int64(text.dropLast(suffix.count)), count > 0 else { return nil }
      let (product, overflow) = count.multipliedReportingOverflow(by: unit)
      return overflow ? nil : product
    }
    return nil
  }
}
