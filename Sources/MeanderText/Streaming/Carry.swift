import MeanderErrors

/// Everything that a `TokenEncoder` remembers between pushes: an encoder made from it goes on exactly where
/// that one stood.
///
/// Its size is bounded by what an encoder may hold back. It fits the tokenizer that it came from, and no
/// other.
public struct EncoderCarry: Sendable, Equatable {
  let state: TokenEncoder.State

  init(_ state: TokenEncoder.State) { self.state = state }

  /// The carry as bytes, for a snapshot.
  public func serialized() -> [UInt8] {
    var writer = CarryWriter(version: Self.version)
    writer.write(state.addsSpecial)
    writer.write(state.hasStarted)
    writer.write(state.isUnknownOpen)
    writer.write(state.consumed)
    writer.write(state.pending)
    for matcher in [state.verbatimMatcher, state.normalizedMatcher] {
      writer.write(matcher.previous.map { Int64($0) } ?? -1)
      writer.write(matcher.swallowsBlanks)
    }
    for normalizer in [state.normalizing, state.stretching] {
      writer.write(Int64(normalizer.held.count))
      for held in normalizer.held { writer.write(held) }
    }
    for text in [state.normalized, state.text] { writer.write(text) }
    return writer.bytes
  }

  /// Reads `serialized()` back. Throws `.badData` for bytes that no encoder could have written.
  public init(serialized: [UInt8]) throws {
    var reader = try CarryReader(serialized, version: Self.version)
    var state = TokenEncoder.State(
      addsSpecial: try reader.flag(), normalizing: NormalizerState(0), stretching: NormalizerState(0))
    state.hasStarted = try reader.flag()
    state.isUnknownOpen = try reader.flag()
    state.consumed = try reader.number(in: 0...CarryReader.longestStream)
    reader.bound = state.consumed
    state.pending = try reader.byteString()
    guard Int64(state.pending.count) <= state.consumed else { throw CarryReader.damaged }
    state.verbatimMatcher = try reader.matcher()
    state.normalizedMatcher = try reader.matcher()
    state.normalizing = try reader.normalizer()
    state.stretching = try reader.normalizer()
    state.normalized = try reader.text()
    state.text = try reader.text()
    try reader.finish()
    self.state = state
  }

  private static let version: UInt8 = 1
}

extension TokenEncoder {
  /// Everything that is remembered between pushes.
  public var carry: EncoderCarry { EncoderCarry(state) }

  /// An encoder that goes on where another stood. Throws `.mismatch` if the carry came from another
  /// tokenizer.
  public init(tokenizer: Tokenizer, carry: EncoderCarry) throws {
    let encoding = tokenizer.encoding
    guard carry.state.normalizing.held.count == encoding.normalizer.steps.count,
      carry.state.stretching.held.count == encoding.stretches.steps.count
    else {
      throw MeanderError(
        .mismatch, "the encoder's carry belongs to another tokenizer", remedy: "Resume with the model that was saved.")
    }
    self.init(tokenizer, carry.state)
  }
}

/// Everything that a `TokenDecoder` remembers between pushes.
public struct DecoderCarry: Sendable, Equatable {
  let state: TokenDecoder.State

  init(_ state: TokenDecoder.State) { self.state = state }

  /// The carry as bytes, for a snapshot.
  public func serialized() -> [UInt8] {
    var writer = CarryWriter(version: Self.version)
    for flag in [state.skipsSpecial, state.holdsByteRuns, state.isByteRun, state.isFirst, state.isEmpty] {
      writer.write(flag)
    }
    writer.write(state.held)
    return writer.bytes
  }

  /// Reads `serialized()` back. Throws `.badData` for bytes that no decoder could have written.
  public init(serialized: [UInt8]) throws {
    var reader = try CarryReader(serialized, version: Self.version)
    var state = TokenDecoder.State(skipsSpecial: try reader.flag(), holdsByteRuns: try reader.flag())
    state.isByteRun = try reader.flag()
    state.isFirst = try reader.flag()
    state.isEmpty = try reader.flag()
    state.held = try reader.byteString()
    try reader.finish()
    self.state = state
  }

  private static let version: UInt8 = 1
}

extension TokenDecoder {
  /// Everything that is remembered between pushes.
  public var carry: DecoderCarry { DecoderCarry(state) }

  /// A decoder that goes on where another stood.
  public init(tokenizer: Tokenizer, carry: DecoderCarry) { self.init(tokenizer, carry.state) }
}
