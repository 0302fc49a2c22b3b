import MeanderErrors
import MeanderKernels

extension Blocks {
  /// Moves a state forward by one piece of a stream: embedding → blocks → final norm. The one forward definition, with a tape
  /// or without.
  ///
  /// Without a tape the residual is changed in place and what a block needed in passing is released behind it.
  ///
  /// - Parameters:
  ///   - state: the part of the state that belongs to a layer.
  ///   - outputs: how many of the last rows are asked for; the state always takes in all tokens.
  /// - Returns: the normalised hidden rows of the last `outputs` tokens, outputs × D.
  func forward(
    _ ids: ArraySlice<Int32>, state: (_ layer: Int) -> MixerState, outputs: Int, _ operations: Operations
  ) -> Matrix {
    var residual = operations.embed(ids, embedding)
    let mark = operations.arena.mark()
    for layer in layers.indices {
      let asked = layer == layers.count - 1 ? outputs : ids.count
      let mixerState = state(layer)
      if let (tape, completed) = operations.announcement { tape.record { completed(layer) } }
      residual = operations.block(residual, outputs: asked, state: mixerState) { operations, residual in
        forward(layer, ids, residual, state: mixerState, outputs: asked, operations)
      }
      if operations.tape == nil { operations.arena.release(to: mark) }
    }
    return operations.rootMeanSquareNorm(residual, weight: finalNorm, epsilon: epsilon)
  }

  /// norm → mixer → add of one layer: the last `outputs` rows of the residual.
  func forward(
    _ layer: Int, _ ids: ArraySlice<Int32>, _ residual: Matrix, state: MixerState, outputs: Int, _ operations: Operations
  ) -> Matrix {
    let normed = operations.dropout(
      operations.rootMeanSquareNorm(residual, weight: layers[layer].norm, epsilon: epsilon), layer: layer)
    return layers[layer].mixer.forward(
      MixerInput(rows: normed, tokens: layer == 0 && operations.tape == nil ? ids : nil), state: state, outputs: outputs,
      residual: residual.rows(ids.count - outputs..<ids.count), operations)
  }
}
