import MeanderKernels
import MeanderModels

/// The regions of one stage.
struct LongState {
  /// B × C, the last B inputs, oldest first.
  let window: Matrix
  /// B × C: what the tiles so far give to the outputs of the block that the last token stood in.
  let pending: Matrix?
  /// C × P: inputs of the current period that lie before that block, and what its outputs and later ones wait for.
  let period: Matrix?

  init(_ state: MixerState, first: Int, _ tiling: Tiling) {
    window = state.matrix(first)
    pending = tiling.hasTiles ? state.matrix(first + 1) : nil
    period = tiling.hasTiles ? state.matrix(first + 2) : nil
  }
}

extension FourierFilter {
  package func prepared(for count: Int, at position: Int64, _ operations: Operations) -> Matrix? {
    guard let tape = operations.tape else { return nil }
    let lags = tiling.lags(from: position, count)
    switch taps {
    case .explicit(let taps): return taps.rows(0..<lags)
    case .implicit(let filter):
      // What is made of the network has an arena of its own, whose gradients go when the way back has passed it.
      let arena = Arena(byteCount: filter.arenaByteCount(lags))
      tape.gradients.adopt(arena.storage)
      tape.record { tape.gradients.forget(arena.storage) }
      return filter.rows(0..<lags, Operations(kernels: operations.kernels, arena: arena, tape: tape))
    }
  }

  package func convolve(
    _ x: Matrix, stage: Int, prepared: Matrix?, state: MixerState, first: Int, position: Int64, _ operations: Operations
  ) -> Matrix {
    let kernels = operations.kernels
    let y = operations.arena.matrix(rows: x.rows, columns: channels)
    let own = LongState(state, first: first, tiling)
    if operations.repeats > 1 { operations.tape?.block("a power of a stretch through a long convolution") }
    var done = 0
    while done < x.rows {
      // Within one period.
      let left = tiling.hasTiles ? tiling.period - Int((position + Int64(done)) % Int64(tiling.period)) : x.rows
      let rows = done..<min(x.rows, done + left)
      let places = RunPlaces(position + Int64(done), rows.count, tiling)
      let (input, output) = (x.rows(rows), y.rows(rows))
      if let tape = operations.tape, let prepared {
        let run = LongRun(x: input, y: output, places, before: own, tiling)
        let lags = prepared.columns(stage * channels..<(stage + 1) * channels)
        let gradients = tape.gradients
        tape.record { self.back(run, stage: stage, lags: lags, state: own, gradients, kernels) }
      }
      advance(input, own, places, stage: stage, into: output, isNaive: operations.form == .naive, kernels)
      done = rows.upperBound
    }
    return y
  }

  /// A run within a period.
  private func advance(
    _ x: Matrix, _ state: LongState, _ places: RunPlaces, stage: Int, into y: Matrix, isNaive: Bool, _ kernels: Kernels
  ) {
    let direct = direct(stage, kernels)
    guard let pending = state.pending, let period = state.period, !places.boundaries.isEmpty else {
      convolveDirectly(x, state.window, direct, into: y, isNaive: isNaive, kernels)
      let place = places.tokens.lowerBound % Tiling.base
      if let pending = state.pending { kernels.add(pending.rows(place..<place + x.rows), into: y) }
      return
    }
    let window = Matrix(state.window.array(), rows: Tiling.base, columns: channels)
    convolveDirectly(x, state.window, direct, into: y, isNaive: isNaive, kernels)
    let rows = places.rows(tiling)
    var needed = [Int](repeating: 0, count: tiling.levels.count)
    for row in rows { needed[row.level] = max(needed[row.level], row.first + row.count - 1) }
    if places.wraps { needed[needed.count - 1] = 1 }
    let tiles = LongTiles(
      tiling: tiling, plans: plans, places: places, rows: rows,
      spectra: isNaive ? [] : needed.indices.map { spectra(stage, level: $0, pieces: needed[$0], kernels) },
      lags: isNaive ? lags(tiling.length, kernels).columns(stage * channels..<(stage + 1) * channels) : nil, table: kernels.table)
    let parts = min(kernels.team.threads, channels)
    kernels.team.run(parts) { part in
      tiles.compute(channels * part / parts..<channels * (part + 1) / parts, x, window, period, pending, into: y)
    }
  }

  /// The first B lags; the window moves on.
  private func convolveDirectly(
    _ x: Matrix, _ window: Matrix, _ direct: Matrix, into y: Matrix, isNaive: Bool, _ kernels: Kernels
  ) {
    let width = Tiling.base
    // A row before the ones that the short convolution keeps: the oldest input of a block.
    let oldest = Matrix(rows: 1, columns: channels)
    oldest.copy(from: x.rows < width ? window.rows(x.rows..<x.rows + 1) : x.rows(x.rows - width..<x.rows - width + 1))
    let taps = window.rows(1..<width)
    let before = isNaive ? taps.array() : []
    kernels.causalConvolution(x, taps: taps, weight: direct, bias: nil, silu: false, into: y)
    window.rows(0..<1).copy(from: oldest)
    guard isNaive else { return }
    let inputs = (before + x.array()).map { Double($0) }
    for t in 0..<x.rows {
      for channel in 0..<channels {
        let sum = (0..<width).reduce(0.0) { $0 + Double(direct[$1, channel]) * inputs[(t + $1) * channels + channel] }
        y[t, channel] = Float(sum)
      }
    }
  }
}
