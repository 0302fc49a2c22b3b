import MeanderErrors
import MeanderModels
import MeanderText

extension Session {
  /// Continues from here, token by token as they are asked for.
  ///
  ///     for try await token in session.generate(maximumTokens: 64) { print(token.text, terminator: "") }
  ///
  /// - Parameters:
  ///   - sampling: how tokens are drawn from here on; nil goes on with the session's own sampler where it
  ///     stands. With a beam, the whole text is found when the first token is asked for, and the session then stands behind
  ///     all of it.
  ///   - maximumTokens: how many at most; nil for no bound.
  ///   - stop: texts that end the generation where they appear; they are not part of the text that is
  ///     yielded.
  ///   - topCount: how many of the likeliest tokens are told beside each.
  public nonisolated func generate(
    _ sampling: SamplingOptions? = nil, maximumTokens: Int? = nil, stop: [String] = [], topCount: Int = 0
  ) -> TokenStream {
    let options = GenerationOptions(sampling: sampling, maximumTokens: maximumTokens, stop: stop, topCount: topCount)
    return TokenStream(session: self, options: options)
  }

  /// Ends the input and takes up the sampler that was asked for.
  func begin(_ options: GenerationOptions) async throws {
    try await finishInput()
    guard let sampling = options.sampling else { return }
    let core = core
    try await turn(isAdmitted: true) { _ in
      try core.changing { $0.sampler = try Sampler(sampling) }
    }
  }

  /// The whole text that a beam search finds, or nil where the sampler does not search.
  func search(_ options: GenerationOptions) async throws -> [Drawn]? {
    let core = core
    let beam = try await turn(isAdmitted: true) { _ in try core.changing { $0.sampler.options.beam } }
    guard beam.width > 1 else { return nil }
    let reservation = try core.reserve(2 * beam.width)
    defer { withExtendedLifetime(reservation) {} }
    return try await turn(isAdmitted: true, core.searching(try SearchJob(beam, options, model)))
  }

  /// Draws the next token and reads it.
  func draw(_ options: GenerationOptions) async throws -> Drawn {
    let core = core
    return try await turn(isAdmitted: true) { isCancelled in
      if isCancelled {
        throw MeanderError(.cancelled, "generating was cancelled", at: "token \(core.progress.position)")
      }
      return try core.changing { try $0.draw(core.model, topCount: options.topCount) }
    }
  }
}

extension SessionContents {
  mutating func draw(_ model: Model, topCount: Int) throws -> Drawn {
    let sampled = try sampler.sample(try logits(model), topCount: topCount)
    if model.endTokens.contains(sampled.id) { return Drawn(sampled: sampled, text: "", isEnd: true) }
    sampler.accept(sampled.id)
    try advance(by: [sampled.id], model)
    return Drawn(sampled: sampled, text: decoder.push(sampled.id), isEnd: false)
  }
}
