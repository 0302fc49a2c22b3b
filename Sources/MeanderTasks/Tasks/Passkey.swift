/// The passkey task: a number is said once in a long text, and asked for at its end.
///
/// The strings are here; `PasskeyTask` makes examples of them.
public enum Passkey {
  /// The wordings of needle and question: three published ones, five paraphrases, and three that hide the needle.
  public enum Wording: String, Sendable, CaseIterable {
    /// Mohtashami and Jaggi 2023 (Landmark Attention).
    case landmark
    /// Han and others 2024 (LM-Infinite): the landmark wording, to be memorised in the singular.
    case infinite
    /// Chen and others 2024 (Stuffed Mamba): one word where the others have two.
    case stuffed
    /// Paraphrases of our own.
    case secret, access, entry, personal, door
    /// The landmark wording, said only once.
    case once
    /// Inside a line of a log.
    case log
    /// In capitals.
    case capitals

    /// Those that papers report on.
    public static let published: [Wording] = [.landmark, .infinite, .stuffed]
    /// Those that papers do not know.
    public static let paraphrases: [Wording] = [.secret, .access, .entry, .personal, .door]

    /// What stands before everything else.
    public var opening: String {
      let beginning = "There is an important info hidden inside a lot of irrelevant text. Find it and memorize "
      let quiz = " I will quiz you about the important information there.\n"
      switch self {
      case .landmark, .once, .log: return beginning + "them." + quiz
      case .stuffed: return beginning + "it.\n\n"
      case .capitals: return (beginning + "them." + quiz).uppercased()
      case .infinite, .secret, .access, .entry, .personal, .door: return beginning + "it." + quiz
      }
    }

    /// The statement of `key`.
    public func needle(_ key: String) -> String {
      switch self {
      case .landmark, .infinite: "The pass key is \(key). Remember it. \(key) is the pass key.\n"
      case .stuffed: "The passkey is \(key). Remember it. \(key) is the passkey.\n"
      case .secret: "The secret number is \(key). Keep it in mind: \(key) is the secret number.\n"
      case .access: "Please note the access code, \(key). You will be asked for it. The access code was \(key).\n"
      case .entry: "To get in, enter \(key). Once more: whoever wants to get in enters \(key).\n"
      case .personal: "My personal number is \(key), and I shall need it later. Yes, \(key) is my personal number.\n"
      case .door: "\(key) opens the door. Do not forget that \(key) does.\n"
      case .once: "The pass key is \(key).\n"
      case .log: "2024-03-07T14:22:09Z auth[812]: info: the pass key is \(key), remember it, \(key) is the pass key\n"
      case .capitals: "THE PASS KEY IS \(key). REMEMBER IT. \(key) IS THE PASS KEY.\n"
      }
    }

    /// The question, without a space behind it.
    public var question: String {
      switch self {
      case .landmark, .infinite, .once, .log: "What is the pass key? The pass key is"
      case .stuffed: "\nWhat is the pass key? The passkey is"
      case .secret: "What is the secret number? The secret number is"
      case .access: "Which access code did you note? The access code is"
      case .entry: "What does one enter to get in? To get in, enter"
      case .personal: "What is my personal number? Your personal number is"
      case .door: "Which number opens the door? The door is opened by"
      case .capitals: "WHAT IS THE PASS KEY? THE PASS KEY IS"
      }
    }
  }

  /// What is answered where no key was said.
  public static let absent = " none"

  /// The classic filler of the task, to be repeated.
  public static let classicFiller =
    "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again.\n"
}
