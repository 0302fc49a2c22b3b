import MeanderErrors
import MeanderKernels

/// What a caller wants to see while a state moves forward.
package enum Readout {
  /// Nothing: `logits(after:)` can still be asked for the last token.
  case none
  /// The logits after every token, in blocks of rows: the number of the block's first token within the call, rows × V.
  case each((_ first: Int, _ logits: Matrix) throws -> Void)
}

extension LanguageModel {
  /// Moves `state` forward by `ids`. O(tokens), in the workspace's memory.
  ///
  /// At multiples of the grid the gauge is read, mitigations act, and a state of less precision is rounded.
  ///
  /// Throws `.badRequest` for an id outside the vocabulary, before anything has moved, and `.nonFinite` when a head's
  /// state stops being finite; what was read until the last multiple of the grid then stands in `state`.
  ///
  /// - Parameters:
  ///   - ids: any number of tokens; they are taken in pieces that end at multiples of the grid.
  ///   - form: how the recurrence is computed; all but `scan` are there to be compared with.
  ///   - gates: transforms in place of those that the model's mitigations ask for.
  package func advance(
    _ state: ModelState, by ids: ArraySlice<Int32>, kernels: Kernels, workspace: Workspace,
    form: RecurrenceForm = .scan, gates: [[GateTransform]] = [], observer: (any StepObserver)? = nil,
    readout: Readout = .none
  ) throws {
    if let index = ids.firstIndex(where: { $0 < 0 || Int($0) >= facts.vocabulary }) {
      throw MeanderError(
        .badRequest, "id \(ids[index]) is outside the vocabulary of \(facts.vocabulary)",
        at: "token \(Int(state.position) + index - ids.startIndex)")
    }
    try hold(state.position, ids.count)
    var rest = ids
    while !rest.isEmpty {
      let piece = rest.prefix(min(tokensToStop(state.position), workspace.maximumTokens))
      let first = piece.startIndex - ids.startIndex
      try step(
        state, piece, kernels, workspace, form, gates.isEmpty ? plan.gates(at: state) : gates, observer, first: first,
        readout)
      rest = rest[piece.endIndex...]
      if isGaugeRead(at: state.position) { try readGauge(state, kernels) }
      if !plan.actions.isEmpty { act(on: state, kernels) }
      round(state, kernels)
    }
  }

  /// Throws `.limit` where a model of learned positions, or a cache of fixed size, has no place for so many tokens more.
  private func hold(_ position: Int64, _ count: Int) throws {
    try blocks.capacity?.hold(position, count, of: facts.name)
  }

  /// How many tokens may be read before something happens between two of them.
  private func tokensToStop(_ position: Int64) -> Int {
    func left(_ grid: Int) -> Int { grid - Int(position % Int64(grid)) }
    var count = left(plan.grid)
    if let length = facts.intent.trainedLength, position < Int64(length) {
      count = min(count, left(Self.noteGrid(length)), Int(Int64(length) - position))
    }
    return count
  }

  private func act(on state: ModelState, _ kernels: Kernels) {
    let moment = GridMoment(model: self, state: state, kernels: kernels)
    for action in plan.actions where state.position % Int64(action.grid) == 0 { action.act(moment) }
  }

  /// One piece: at most the workspace's tokens, within one cell of the grid.
  private func step(
    _ state: ModelState, _ ids: ArraySlice<Int32>, _ kernels: Kernels, _ workspace: Workspace, _ form: RecurrenceForm,
    _ gates: [[GateTransform]], _ observer: (any StepObserver)?, first: Int, _ readout: Readout
  ) throws {
    let arena = workspace.arena
    arena.reset()
    var operations = Operations(kernels: kernels, arena: arena, form: form)
    operations.stepObserver = observer
    var outputs = 1
    if case .each = readout { outputs = ids.count }
    let final: Matrix
    if blocks.takesWavefront(ids.count, weightByteCount: weightByteCount, operations) {
      final = blocks.forwardInWavefront(
        ids, position: state.position, states: blocks.steps.indices.map { mixerState(state, $0, gates) }, outputs: outputs,
        lanes: workspace.lanes(for: kernels) { blocks.wavefrontLanes(kernels) }, operations)
    } else {
      final = blocks.forward(
        ids, position: state.position, state: { mixerState(state, $0, gates) }, outputs: outputs, operations)
    }
    state.matrix(hidden).copy(from: final.rows(outputs - 1..<outputs))
    state.setPosition(state.position + Int64(ids.count))
    guard case .each(let visit) = readout else { return }
    let block = workspace.logitRows
    for start in stride(from: 0, to: outputs, by: block) {
      let end = min(start + block, outputs)
      let mark = arena.mark()
      let logits = operations.logits(final.rows(start..<end), blocks.head)
      try visit(first + start, logits)
      arena.release(to: mark)
    }
  }

  /// The logits of the token after the last one that moved `state`, V of them.
  ///
  /// The last token's final hidden row is part of the state, so they cost one row of the head whenever they are asked for.
  package func logits(after state: ModelState, kernels: Kernels, workspace: Workspace) throws -> [Float] {
    guard state.position > 0 else {
      throw MeanderError(.badRequest, "nothing has been read, so there is nothing to continue", remedy: "Feed some text first.")
    }
    workspace.arena.reset()
    let operations = Operations(kernels: kernels, arena: workspace.arena)
    let logits = operations.logits(state.matrix(hidden), blocks.head).array()
    guard logits.allSatisfy(\.isFinite) else {
      throw firstNonFinite(state, kernels) ?? MeanderError(.nonFinite, "the logits are not finite", at: "token \(state.position)")
    }
    return logits
  }

  func mixerState(_ state: ModelState, _ step: Int, _ gates: [[GateTransform]] = []) -> MixerState {
    guard let layer = index.gated[step] else { return MixerState(state: state, regions: regions[step]) }
    return MixerState(
      state: state, regions: regions[step], gates: gates.isEmpty ? [] : gates[layer], shadow: plan.shadow(layer, state),
      rest: plan.rests.isEmpty ? nil : plan.rests[layer].map { state.matrix($0) })
  }

  /// Scratch memory for one running job.
  package func workspace(maximumTokens: Int = LanguageModel.grid) -> Workspace {
    Workspace(maximumTokens: maximumTokens, floats: scratchFloats(tokens: maximumTokens), vocabulary: facts.vocabulary)
  }

  /// An upper bound on the floats that one piece of `tokens` allocates.
  private func scratchFloats(tokens: Int) -> Int {
    let perToken = blocks.steps.map { $0.mixer.scratchPerToken }.max() ?? 0
    return (tokens + 16) * (6 * facts.width + perToken + blocks.carriedWidth + 80)
  }
}

/// Scratch memory that one job uses at a time; sessions can share it in turns.
package final class Workspace: @unchecked Sendable {
  // Safe as Sendable: jobs use it one at a time, on the one thread that dispatches them.
  package let maximumTokens: Int
  /// How many rows of logits are made at once.
  let logitRows: Int
  let arena: Arena

  /// Logits are made in blocks of about this many bytes.
  private static let logitBytes = 8 << 20

  init(maximumTokens: Int, floats: Int, vocabulary: Int) {
    self.maximumTokens = max(1, maximumTokens)
    logitRows = max(1, min(self.maximumTokens, Self.logitBytes / (4 * vocabulary)))
    // Most jobs ask for no more than one row of logits, and take up no memory for the others.
    arena = Arena(reserving: 4 * (floats + (2 * logitRows + 3) * (vocabulary + 16)) + (64 << 10))
  }

  package var byteCount: Int { arena.byteCount }

  private var lanes: WavefrontLanes?

  /// The scratch memory of a wavefront's workers, made when the first one runs.
  func lanes(for kernels: Kernels, _ make: () -> WavefrontLanes) -> WavefrontLanes {
    if let lanes, lanes.kernels.count == kernels.team.threads, lanes.kernels[0].compute == kernels.compute,
      lanes.kernels[0].table.name == kernels.table.name
    {
      return lanes
    }
    let made = make()
    lanes = made
    return made
  }
}
