@_spi(_Unicode) import Swift

/// Canonical composition (Unicode 15 section 3.11) of a stream: what stands before a scalar that neither
/// reorders nor composes with anything before it is settled.
enum Composition {
  /// A cluster of more scalars than this is cut there: no written language comes near.
  static let longestCluster = 1024

  static func push(_ input: [TextUnit], _ atEnd: Bool, _ held: inout NormalizerState.Held) -> [TextUnit] {
    var output: [TextUnit] = []
    output.reserveCapacity(input.count + held.units.count)
    for unit in input {
      if isBoundary(unit.value) || held.units.count >= longestCluster { settle(&held.units, into: &output) }
      held.units.append(unit)
    }
    if atEnd { settle(&held.units, into: &output) }
    return output
  }

  /// Nothing before `value` composes with it or trades places with it. (The marks that compose with a letter
  /// before them all are of a mark's category, but for the jamo and the vowel signs of Kirat Rai.)
  static func isBoundary(_ value: UInt32) -> Bool {
    if value < 0x300 { return true }
    guard let scalar = Unicode.Scalar(value) else { return true }
    switch value {
    case 0x1160...0x11FF, 0xD7B0...0xD7FF, 0x1_6D40...0x1_6D7F: return false
    case 0x3041...0x3096, 0x3400...0x9FFF, 0xAC00...0xD7A3, 0x1_F000...0x1_FFFF: return true
    default: break
    }
    switch scalar.properties.generalCategory {
    case .nonspacingMark, .spacingMark, .enclosingMark: return false
    default: return scalar.properties.canonicalCombiningClass == .notReordered
    }
  }

  /// A single scalar from one of these ranges is its own composed form.
  private static func isStable(_ value: UInt32) -> Bool {
    switch value {
    case 0...0x33F, 0x400...0x93F, 0x2010...0x20CF, 0x3000...0xD7FF, 0x1_F000...0x1_FFFF, ScalarStep.invalid...: true
    default: false
    }
  }

  /// Three vowel signs are no starters although their class is 0; the standard library does not reorder what
  /// they decompose to.
  private static func tibetan(_ scalar: Unicode.Scalar) -> [Unicode.Scalar] {
    switch scalar {
    case "\u{0F73}": ["\u{0F71}", "\u{0F72}"]
    case "\u{0F75}": ["\u{0F71}", "\u{0F74}"]
    case "\u{0F81}": ["\u{0F71}", "\u{0F80}"]
    default: [scalar]
    }
  }

  private static func settle(_ cluster: inout [TextUnit], into output: inout [TextUnit]) {
    defer { cluster.removeAll(keepingCapacity: true) }
    guard let last = cluster.last else { return }
    if cluster.count == 1 && isStable(last.value) {
      output.append(last)
      return
    }
    var text = String.UnicodeScalarView()
    for unit in cluster {
      guard let scalar = Unicode.Scalar(unit.value) else {
        output += cluster
        return
      }
      text.append(contentsOf: tibetan(scalar))
    }
    let composed = String(text)._nfc.map(\.value)
    if composed.elementsEqual(cluster.lazy.map(\.value)) {
      output += cluster
    } else {
      output += composed.map { TextUnit(value: $0, end: last.end) }
    }
  }
}
