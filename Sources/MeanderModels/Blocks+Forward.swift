import MeanderErrors
import MeanderKernels

extension Blocks {
  /// Moves a state forward by one piece of a stream: embedding → steps → final norm. The one forward definition, with a tape
  /// or without.
  ///
  /// Without a tape the residual is changed in place and what a step needed in passing is released behind it.
  ///
  /// - Parameters:
  ///   - position: how many tokens the stream had before these.
  ///   - state: the part of the state that belongs to a step.
  ///   - outputs: how many of the last rows are asked for; the state always takes in all tokens.
  /// - Returns: the normalised hidden rows of the last `outputs` tokens, outputs × D.
  package func forward(
    _ ids: ArraySlice<Int32>, position: Int64, state: (_ step: Int) -> MixerState, outputs: Int, _ operations: Operations
  ) -> Matrix {
    var residual = operations.embed(ids, position: position, self)
    let carried = operations.carried(residual, self)
    let mark = operations.arena.mark()
    for step in steps.indices {
      let asked = step == steps.count - 1 ? outputs : ids.count
      let mixerState = state(step)
      // A layer is complete on the way back when its first step is.
      let isFirst = step == 0 || steps[step - 1].layer != steps[step].layer
      if isFirst, let (tape, completed) = operations.announcement { tape.record { completed(steps[step].layer) } }
      residual = operations.block(residual, outputs: asked, state: mixerState) { operations, residual in
        forward(
          step, ids, residual, carried: carried, position: position, state: mixerState, outputs: asked, operations)
      }
      if operations.tape == nil { operations.arena.release(to: mark) }
    }
    return operations.norm(residual, finalNorm)
  }

  /// One step: the last `outputs` rows of the residual. `position` is that of the first of `ids`.
  func forward(
    _ step: Int, _ ids: ArraySlice<Int32>, _ residual: Matrix, carried: Matrix?, position: Int64, state: MixerState,
    outputs: Int, _ operations: Operations
  ) -> Matrix {
    let block = steps[step]
    let normed = operations.dropout(block.norm.map { operations.norm(residual, $0) } ?? residual, layer: step)
    let hasTable = step == 0 && operations.tape == nil && firstRowsAreTokens
    let input = MixerInput(rows: normed, tokens: hasTable ? ids : nil, position: position, carried: carried)
    let kept = residual.rows(ids.count - outputs..<ids.count)
    if block.outputNorm == nil && block.scale == 1 && block.normShare == nil {
      return block.mixer.forward(input, state: state, outputs: outputs, residual: kept, operations)
    }
    let zeros = operations.arena.matrix(rows: outputs, columns: residual.columns)
    zeros.fill(0)
    var mixed = block.mixer.forward(input, state: state, outputs: outputs, residual: zeros, operations)
    if let norm = block.outputNorm { mixed = operations.norm(mixed, norm) }
    let added = operations.scale(mixed, by: block.scale)
    guard let share = block.normShare else { return operations.add(added, to: kept) }
    let rows = operations.multiply(
      normed.rows(ids.count - outputs..<ids.count), by: operations.constant(share, columns: residual.columns))
    // Without a tape the stream is changed in place.
    if operations.tape == nil { kept.copy(from: rows) }
    return operations.add(added, to: operations.tape == nil ? kept : rows)
  }
}

extension Operations {
  /// Room for what steps leave for later ones, T × as much as one does; or the embedded rows themselves.
  func carried(_ embedded: Matrix, _ blocks: Blocks) -> Matrix? {
    let width = blocks.carriedWidth
    guard width > 0 else { return nil }
    let room = arena.matrix(rows: embedded.rows, columns: width)
    if blocks.carriesEmbedding { leave(embedded, in: room) }
    return room
  }

  /// The rows that the first step reads, T × D: the embedding, scaled, with its positions, and normalised where it is.
  func embed(_ ids: ArraySlice<Int32>, position: Int64, _ blocks: Blocks) -> Matrix {
    let rows = scale(embed(ids, blocks.embedding), by: blocks.embeddingScale)
    guard let positions = blocks.positions else { return blocks.embeddingNorm.map { norm(rows, $0) } ?? rows }
    let places = (0..<ids.count).map { Int32(clamping: position + Int64($0)) }
    let placed = add(embed(places[...], positions), to: rows)
    return blocks.embeddingNorm.map { norm(placed, $0) } ?? placed
  }

  /// The logits of final rows, T × V.
  package func logits(_ hidden: Matrix, _ head: OutputHead) -> Matrix {
    let logits = project(hidden, head.weight)
    guard let cap = head.cap else { return scale(logits, by: head.scale) }
    return scale(activate(scale(logits, by: head.scale / cap), .tanh), by: cap)
  }
}
