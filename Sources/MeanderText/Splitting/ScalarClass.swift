/// The classes of scalars that the splitting rules tell apart; a set, so that a run can be named by its
/// classes.
struct ScalarClass: OptionSet, Sendable {
  let rawValue: UInt8

  /// `\p{L}`
  static let letter = ScalarClass(rawValue: 1)
  /// `\p{N}`
  static let number = ScalarClass(rawValue: 2)
  /// `\s` but for line ends
  static let blank = ScalarClass(rawValue: 4)
  /// `\r` and `\n`
  static let newline = ScalarClass(rawValue: 8)
  /// `\p{M}`, which all rules but the newest count as `other`
  static let mark = ScalarClass(rawValue: 16)
  /// Everything else, bytes that are not UTF-8 among it
  static let other = ScalarClass(rawValue: 32)

  static let space: ScalarClass = [.blank, .newline]

  init(rawValue: UInt8) { self.rawValue = rawValue }

  init(of scalar: Unicode.Scalar) {
    switch scalar.properties.generalCategory {
    case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: self = .letter
    case .decimalNumber, .letterNumber, .otherNumber: self = .number
    case .nonspacingMark, .spacingMark, .enclosingMark: self = .mark
    default:
      if scalar == "\n" || scalar == "\r" {
        self = .newline
      } else {
        self = scalar.properties.isWhitespace ? .blank : .other
      }
    }
  }

  /// Classes of the first 65,536 scalars, by value; surrogates count as `other`.
  static let ofPlaneZero: [ScalarClass] = (0..<0x1_0000).map { value in
    Unicode.Scalar(UInt32(value)).map { ScalarClass(of: $0) } ?? .other
  }

  /// Whether `\w` matches: letters, marks, decimal numbers, connectors (UTS 18, annex C).
  static func isWord(_ value: UInt32) -> Bool {
    guard let scalar = Unicode.Scalar(value) else { return false }
    switch scalar.properties.generalCategory {
    case .decimalNumber, .connectorPunctuation, .nonspacingMark, .spacingMark, .enclosingMark: return true
    default: return scalar.properties.isAlphabetic || value == 0x200C || value == 0x200D
    }
  }
}
