import MeanderKernels

extension Operations {
  /// One block of a model, from residual to residual. Where `recomputes` is set and a tape runs, only the block's input is
  /// kept, and the block is computed again on the way back: that bounds memory to one block, for one more forward.
  func block(
    _ residual: Matrix, outputs: Int, state: MixerState, _ forward: @escaping (Operations, Matrix) -> Matrix
  ) -> Matrix {
    guard let tape, recomputes else { return forward(self, residual) }
    let before = state.contents
    let result = arena.matrix(rows: outputs, columns: residual.columns)
    let mark = arena.mark()
    var quiet = self
    quiet.tape = nil
    // Without a tape the residual is changed in place.
    let work = arena.matrix(rows: residual.rows, columns: residual.columns)
    work.copy(from: residual)
    result.copy(from: forward(quiet, work))
    arena.release(to: mark)
    tape.record {
      state.setContents(before)
      let inner = Tape(tape.gradients)
      var again = self
      again.tape = inner
      again.recomputes = false
      let mark = arena.mark()
      let output = forward(again, residual)
      tape.gradients.clear(arena.storage, mark..<arena.mark())
      kernels.add(tape.gradients.of(result), to: tape.gradients.of(output))
      inner.walk()
      arena.release(to: mark)
    }
    return result
  }

  /// Drops numbers of `x` at the rate that training asks for and scales up the rest (Srivastava and others 2014); x itself
  /// where nothing is dropped. The mask follows from seed and layer alone, so a block computed again meets the same one.
  func dropout(_ x: Matrix, layer: Int) -> Matrix {
    guard let dropped, dropped.rate > 0 else { return x }
    let mask = arena.matrix(rows: x.rows, columns: x.columns)
    mask.copy(from: Matrix(dropped.mask(x.rows * x.columns, layer: layer), rows: x.rows, columns: x.columns))
    let y = arena.matrix(rows: x.rows, columns: x.columns)
    y.copy(from: x)
    kernels.multiply(mask, into: y)
    if let tape {
      let (kernels, gradients) = (kernels, tape.gradients)
      tape.record {
        let dy = gradients.of(y)
        kernels.multiply(mask, into: dy)
        kernels.add(dy, to: gradients.of(x))
      }
    }
    return y
  }
}

/// Which numbers a training step drops.
package struct Dropout: Sendable {
  package let rate: Float
  package let seed: UInt64

  package init(rate: Float, seed: UInt64) { (self.rate, self.seed) = (rate, seed) }

  /// Zeros at the rate, 1 / (1 - rate) elsewhere.
  func mask(_ count: Int, layer: Int) -> [Float] {
    let bound = UInt64(Double(rate) * 0x1p53)
    let kept = 1 / (1 - rate)
    let start = seed &+ UInt64(layer) &* 0xd1342543de82ef95
    return (0..<count).map { SplitMix64.mixed(start &+ UInt64($0) &* 0x9e3779b97f4a7c15) >> 11 < bound ? 0 : kept }
  }
}

extension MixerState {
  /// The bytes of this layer's regions.
  fileprivate var contents: [[UInt8]] { regions.map { state.bytes(of: $0) } }

  fileprivate func setContents(_ contents: [[UInt8]]) {
    for (region, bytes) in zip(regions, contents) { state.replace(region, bytes) }
  }
}
