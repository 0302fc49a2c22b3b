import MeanderErrors
import MeanderFiles

/// Reads the normalizer of a `tokenizer.json`.
struct TokenizerFileNormalizer {
  let file: TokenizerFile

  /// What a normalizer puts in or looks for is short; more of it would make much out of little.
  private static let longestText = 256

  func normalizer(_ json: JSON) throws -> Normalizer {
    Normalizer(steps: try file.flattened(json, "normalizers").flatMap(steps))
  }

  private func steps(_ json: JSON) throws -> [Normalizer.Step] {
    switch json["type"]?.string {
    case "NFC": return [.compose]
    case "NFKC": return [.compatibility, .compose]
    case "Nmt": return [.neural]
    case "Prepend": return [.prepend(try scalars(json["prepend"]), .always)]
    case "Replace": return [try replacement(json)]
    case "Strip":
      return [.strip(left: json["strip_left"]?.bool ?? true, right: json["strip_right"]?.bool ?? true)]
    case "Precompiled":
      guard let map = (json["precompiled_charsmap"]?.string).flatMap(Self.base64) else {
        throw file.damaged("the precompiled character map is no base64")
      }
      return map.isEmpty ? [] : [.characterMap(try CharacterMap(map[...], at: file.path))]
    case let type: throw file.unsupported("the normalizer '\(type ?? "?")' is not understood")
    }
  }

  private func scalars(_ json: JSON?) throws -> [UInt32] {
    guard let scalars = json?.string?.unicodeScalars.map(\.value), scalars.count <= Self.longestText else {
      throw file.damaged("a normalizer lacks its text, or has more than \(Self.longestText) characters of it")
    }
    return scalars
  }

  /// Literal patterns, and runs of spaces (` {2,}`).
  private func replacement(_ json: JSON) throws -> Normalizer.Step {
    let replacement = try scalars(json["content"])
    if let pattern = json["pattern"]?["String"], pattern.string != "" {
      return .replace(pattern: try scalars(pattern), by: replacement)
    }
    let expression = json["pattern"]?["Regex"]?.string ?? ""
    if expression.hasPrefix(" {"), expression.hasSuffix(",}"), let count = Int(expression.dropFirst(2).dropLast(2)),
      (1...1024).contains(count)
    {
      return .spaceRuns(count: count, by: replacement)
    }
    throw file.unsupported("the normalizer's expression '\(expression)' is not understood")
  }

  /// RFC 4648, padding required where it belongs; nil for anything else.
  static func base64(_ text: String) -> [UInt8]? {
    var bytes: [UInt8] = []
    var bits: UInt32 = 0
    var count = 0
    var padding = 0
    for character in text.utf8 {
      let value: UInt8
      switch character {
      case UInt8(ascii: "A")...UInt8(ascii: "Z"): value = character - UInt8(ascii: "A")
      case UInt8(ascii: "a")...UInt8(ascii: "z"): value = character - UInt8(ascii: "a") + 26
      case UInt8(ascii: "0")...UInt8(ascii: "9"): value = character - UInt8(ascii: "0") + 52
      case UInt8(ascii: "+"): value = 62
      case UInt8(ascii: "/"): value = 63
      case UInt8(ascii: "="):
        padding += 1
        continue
      default: return nil
      }
      guard padding == 0 else { return nil }
      bits = bits << 6 | UInt32(value)
      count += 1
      guard count == 4 else { continue }
      bytes += [UInt8(bits >> 16 & 0xFF), UInt8(bits >> 8 & 0xFF), UInt8(bits & 0xFF)]
      (bits, count) = (0, 0)
    }
    switch (count, padding) {
    case (0, 0): return bytes
    case (2, 2): return bytes + [UInt8(bits >> 4 & 0xFF)]
    case (3, 1): return bytes + [UInt8(bits >> 10 & 0xFF), UInt8(bits >> 2 & 0xFF)]
    default: return nil
    }
  }
}
