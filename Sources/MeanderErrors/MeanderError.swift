/// The one error type of Meander: what went wrong, where, and what to do about it.
///
/// Every layer throws it, so a caller catches one type and a command maps one code to one exit status.
public struct MeanderError: Error, Sendable, CustomStringConvertible {
  /// The kind of failure. New kinds may be added; switch with a `default`.
  public struct Code: Hashable, Sendable, CustomStringConvertible {
    /// The kind in a word or two, for a message.
    public let description: String
    package init(_ description: String) { self.description = description }

    /// A model, state or data file does not hold what it must (exit status 65).
    public static let badData = Code("bad data")
    /// A request contradicts itself or the model that it is made to (exit status 64).
    public static let badRequest = Code("bad request")
    /// A file or input that was named is not there (exit status 66).
    public static let notFound = Code("not found")
    /// Reading or writing failed below us: a full disk, a closed descriptor (exit status 74).
    public static let inputOutput = Code("input/output")
    /// A snapshot belongs to another model, another input or another instruction table (exit status 65).
    public static let mismatch = Code("mismatch")
    /// A bound on memory, on waiting sessions or on a file's size would be passed (exit status 1).
    public static let limit = Code("limit")
    /// A recurrent state stopped being finite (exit status 1).
    public static let nonFinite = Code("non-finite state")
    /// What was asked is outside what this build or this model can do (exit status 1).
    public static let unsupported = Code("unsupported")
    /// The work was cancelled; what was already done stands (exit status 130).
    public static let cancelled = Code("cancelled")
  }

  /// The kind of failure, which decides what a caller does.
  public let code: Code
  /// One sentence: what went wrong.
  public let what: String
  /// The place: a file and byte, a tensor, a layer and position, an option.
  public let place: String?
  /// What to do about it.
  public let remedy: String?
  /// The error beneath this one.
  public let cause: (any Error)?

  /// An error of this kind; `what` is one sentence without its full stop.
  public init(_ code: Code, _ what: String, at place: String? = nil, remedy: String? = nil, cause: (any Error)? = nil) {
    self.code = code
    self.what = what
    self.place = place
    self.remedy = remedy
    self.cause = cause
  }

  /// Place, what and cause in one line, the remedy in a second one.
  public var description: String {
    var text = place.map { "\($0): \(what)" } ?? what
    if let cause { text += " (\(cause))" }
    if let remedy { text += "\n  \(remedy)" }
    return text
  }
}
