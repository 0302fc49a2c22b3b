import MeanderErrors
import MeanderModels
import MeanderText

/// A beam search on its way: each hypothesis is a fork of the session's state, moved on by a token a turn.
struct SearchJob: Sendable {
  /// The tokens of the best text, once it is known.
  private(set) var found: [Drawn] = []
  private var search: BeamSearch
  private var beams: [SessionContents] = []
  /// The stop strings that each live hypothesis may be at.
  private var filters: [StopFilter]
  /// What the session is to be if the best text so far stays the best.
  private var winner: SessionContents?
  private let endTokens: Set<Int32>
  private let coversPrompt: Bool
  private var promptLength: Int64 = 0

  /// - Throws: `badRequest` where nothing bounds the text, and `unsupported` for a coverage penalty of a model without attention.
  init(_ beam: SamplingOptions.Beam, _ options: GenerationOptions, _ model: Model) throws {
    guard let limit = options.maximumTokens else {
      throw MeanderError(
        .badRequest, "beam search compares whole texts, and nothing bounds these", at: "maximumTokens",
        remedy: "Say how many tokens a text may have.")
    }
    coversPrompt = beam.coveragePenalty > 0
    if coversPrompt, !model.language.attends {
      throw MeanderError(
        .unsupported, "\(model.name) has no attention, and nothing else says which part of the prompt a text covers",
        at: "coverage penalty", remedy: "Leave the coverage penalty at 0.")
    }
    search = BeamSearch(beam, limit: limit)
    filters = [StopFilter(options.stop)]
    endTokens = model.endTokens
  }

  /// One token further. True when the best text is known; the session then stands behind it.
  mutating func turn(_ contents: inout SessionContents, _ model: Model, isCancelled: Bool) throws -> Bool {
    if isCancelled {
      throw MeanderError(.cancelled, "searching was cancelled", at: "token \(contents.state.position)")
    }
    if beams.isEmpty {
      var first = contents
      first.state = contents.state.copy()
      beams = [first]
      promptLength = contents.state.position
    }
    let logits = try beams.indices.map { try beams[$0].logits(model) }
    let adjusted = try beams.indices.map { try beams[$0].sampler.adjusted(logits[$0]) }
    let branches = try search.branches(logits, adjusted: adjusted, endTokens: endTokens)
    guard !branches.isEmpty else {
      throw MeanderError(.badRequest, "every token is forbidden", at: "sampling option logit-bias")
    }
    var (next, nextFilters, going) = ([SessionContents](), [StopFilter](), [BeamSearch.Hypothesis]())
    for branch in branches {
      var hypothesis = search.hypothesis(branch)
      if branch.isEnd {
        if search.end(hypothesis) { winner = fork(beams[branch.parent]) }
        continue
      }
      var (moved, filter) = (fork(beams[branch.parent]), filters[branch.parent])
      let watch = coversPrompt ? CoverageWatch(promptLength) : nil
      moved.sampler.accept(branch.token.id)
      try moved.advance(by: [branch.token.id], model, observer: watch)
      if let watch { watch.add(to: &hypothesis.coverage) }
      _ = filter.pass(moved.decoder.push(branch.token.id))
      if filter.isStopped {
        if search.end(hypothesis) { winner = moved }
      } else {
        next.append(moved)
        nextFilters.append(filter)
        going.append(hypothesis)
      }
    }
    let isOver = search.go(on: going)
    (beams, filters) = (next, nextFilters)
    if !isOver, !search.isFull { return false }
    // What is as long as it may be ends there.
    if !isOver {
      for (hypothesis, contents) in zip(search.live, beams) where search.end(hypothesis) { winner = contents }
    }
    return try settle(&contents, model)
  }

  private mutating func settle(_ contents: inout SessionContents, _ model: Model) throws -> Bool {
    guard let winner, let best = search.best?.hypothesis else { return true }
    var decoder = contents.decoder
    found = best.tokens.map { Drawn(sampled: $0, text: decoder.push($0.id), isEnd: false) }
    contents.state.assign(winner.state)
    (contents.decoder, contents.sampler) = (winner.decoder, winner.sampler)
    beams = []
    return true
  }

  private func fork(_ contents: SessionContents) -> SessionContents {
    var copy = contents
    copy.state = contents.state.copy()
    return copy
  }
}

/// How much attention one token pays to each place of the prompt: the mean over the heads of all layers that attend.
private final class CoverageWatch: StepObserver {
  private let promptLength: Int64
  private var weights: [Int64: Double] = [:]
  private var heads = 0

  init(_ promptLength: Int64) { self.promptLength = promptLength }

  var watchesAttention: Bool { true }

  func see(attention weights: [[Double]], to seen: [Int64], at position: Int64) {
    for head in weights {
      heads += 1
      for (place, weight) in zip(seen, head) where place < promptLength { self.weights[place, default: 0] += weight }
    }
  }

  /// Adds what was seen, place by place in the order of the prompt; places that are no longer kept are left as they were.
  func add(to coverage: inout [Double]) {
    let places = weights.keys.sorted()
    if coverage.isEmpty { coverage = [Double](repeating: 0, count: places.count) }
    // The window moves on with the text: what it left behind are the earliest of the places that are not kept for good.
    let missing = coverage.count - places.count
    for (index, place) in places.enumerated() where heads > 0 {
      let kept = place == Int64(index) ? index : index + missing
      if kept < coverage.count { coverage[kept] += (weights[place] ?? 0) / Double(heads) }
    }
  }
}
