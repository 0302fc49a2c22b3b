import MeanderErrors

/// One option as text: its name, how it is read and written, and what it may be.
struct SamplingField: Sendable {
  let name: String
  let allowed: String
  let text: @Sendable (SamplingOptions) -> String
  /// False where the text is not of the option's kind.
  let parse: @Sendable (inout SamplingOptions, String) -> Bool
  let isAllowed: @Sendable (SamplingOptions) -> Bool

  static let all: [SamplingField] = [
    number("temperature", \.temperature, 0...100),
    number("top-k", \.topK, 0...Int(Int32.max)),
    number("top-p", \.topP, 0...1),
    number("min-p", \.minP, 0...1),
    number("typical", \.typical, 0...1),
    number("repeat-penalty", \.repeatPenalty, 0.01...100),
    number("repeat-last-count", \.repeatLastCount, 0...History.largestWindow),
    number("presence-penalty", \.presencePenalty, -100...100),
    number("frequency-penalty", \.frequencyPenalty, -100...100),
    number("dry-multiplier", \.dry.multiplier, 0...100),
    number("dry-base", \.dry.base, 1...100),
    number("dry-allowed-length", \.dry.allowedLength, 1...History.largestWindow),
    number("dry-last-count", \.dry.lastCount, 0...History.largestWindow),
    breakers,
    number("xtc-probability", \.xtc.probability, 0...1),
    number("xtc-threshold", \.xtc.threshold, 0...1),
    number("mirostat", \.mirostat.version, 0...2),
    number("mirostat-tau", \.mirostat.tau, 0...100),
    number("mirostat-eta", \.mirostat.eta, 0...1),
    logitBias,
    beamWidth,
    number("beam-length-penalty", \.beam.lengthPenalty, 0...10),
    number("beam-coverage-penalty", \.beam.coveragePenalty, 0...10),
    number("seed", \.seed, 0...UInt64.max),
  ]

  private static func number<Value: LosslessStringConvertible & Comparable & Sendable>(
    _ name: String, _ path: any WritableKeyPath<SamplingOptions, Value> & Sendable, _ range: ClosedRange<Value>
  ) -> SamplingField {
    SamplingField(
      name: name, allowed: "\(range.lowerBound)...\(range.upperBound)",
      text: { String($0[keyPath: path]) },
      parse: { options, text in
        guard let value = Value(text) else { return false }
        options[keyPath: path] = value
        return true
      },
      isAllowed: { range.contains($0[keyPath: path]) })
  }

  /// A search takes the likeliest, so nothing is drawn beside it.
  private static let beamWidth = SamplingField(
    name: "beam-width", allowed: "1...64, and 1 alone where the temperature is not 0", text: { String($0.beam.width) },
    parse: { options, text in
      guard let width = Int(text) else { return false }
      options.beam.width = width
      return true
    }, isAllowed: { (1...64).contains($0.beam.width) && ($0.beam.width == 1 || $0.temperature == 0) })

  /// Ids joined by commas, sequences by semicolons.
  private static let breakers = SamplingField(
    name: "dry-breakers", allowed: "sequences of 1 to \(SamplingOptions.Dry.longestBreaker) token ids",
    text: { $0.dry.breakers.map(joined).joined(separator: ";") },
    parse: { options, text in
      let sequences = text.split(separator: ";").map { identifiers($0) }
      guard !sequences.contains(nil) else { return false }
      options.dry.breakers = sequences.compactMap { $0 }
      return true
    },
    isAllowed: {
      $0.dry.breakers.allSatisfy { breaker in
        (1...SamplingOptions.Dry.longestBreaker).contains(breaker.count) && breaker.allSatisfy { $0 >= 0 }
      }
    })

  /// `id:bias` pairs joined by commas, in order of ids.
  private static let logitBias = SamplingField(
    name: "logit-bias", allowed: "numbers or -inf for token ids from 0",
    text: { $0.logitBias.sorted { $0.key < $1.key }.map { "\($0.key):\($0.value)" }.joined(separator: ",") },
    parse: { options, text in
      var biases: [Int32: Float] = [:]
      for pair in text.split(separator: ",") {
        let parts = pair.split(separator: ":")
        guard parts.count == 2, let id = Int32(parts[0]), let bias = Float(parts[1]) else { return false }
        biases[id] = bias
      }
      options.logitBias = biases
      return true
    },
    isAllowed: { $0.logitBias.allSatisfy { $0.key >= 0 && ($0.value.isFinite || $0.value == -.infinity) } })

  static func joined(_ ids: some Sequence<Int32>) -> String { ids.map { String($0) }.joined(separator: ",") }

  static func identifiers(_ text: some StringProtocol) -> [Int32]? {
    var ids: [Int32] = []
    for part in text.split(separator: ",") {
      guard let id = Int32(part) else { return nil }
      ids.append(id)
    }
    return ids
  }
}

extension SamplingOptions {
  /// Every option by name, exact: `SamplingOptions(fields: options.fields) == options`.
  public var fields: [String: String] {
    var fields: [String: String] = [:]
    for field in SamplingField.all { fields[field.name] = field.text(self) }
    return fields
  }

  /// The options that `fields` names, the defaults elsewhere.
  ///
  /// Throws `badRequest` for a name that is not an option, and for a value that is not allowed.
  public init(fields: [String: String]) throws {
    var unread = fields
    for field in SamplingField.all {
      guard let text = unread.removeValue(forKey: field.name) else { continue }
      guard field.parse(&self, text) else { throw SamplingOptions.refusal(field, text) }
    }
    if let name = unread.keys.min() {
      throw MeanderError(
        .badRequest, "there is no sampling option of this name", at: "sampling option \(name)",
        remedy: "The options are \(SamplingField.all.map(\.name).joined(separator: ", ")).")
    }
    try validate()
  }

  /// Throws `badRequest` naming the first option that is out of its range, its value and the range.
  public func validate() throws {
    for field in SamplingField.all where !field.isAllowed(self) {
      throw SamplingOptions.refusal(field, field.text(self))
    }
  }

  private static func refusal(_ field: SamplingField, _ text: String) -> MeanderError {
    MeanderError(
      .badRequest, "\(text.prefix(80)) is not allowed", at: "sampling option \(field.name)",
      remedy: "Allowed: \(field.allowed).")
  }
}
