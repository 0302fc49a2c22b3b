import MeanderErrors

/// How a command ends, as a shell sees it (the numbers of sysexits.h where they have one).
enum ExitStatus {
  static let done: Int32 = 0
  static let failed: Int32 = 1
  static let usage: Int32 = 64
  static let badData: Int32 = 65
  static let noInput: Int32 = 66
  static let inputOutput: Int32 = 74
  static let interrupted: Int32 = 130

  static func of(_ code: MeanderError.Code) -> Int32 {
    switch code {
    case .badRequest: usage
    case .badData, .mismatch: badData
    case .notFound: noInput
    case .inputOutput: inputOutput
    case .cancelled: interrupted
    default: failed
    }
  }
}
