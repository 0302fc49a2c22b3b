import MeanderKernels
import MeanderModels

/// The regions of one stage.
struct LongState {
  /// B × C, the last B inputs, oldest first.
  let window: Matrix
  /// B × C: what the tiles so far give to the outputs of the current block of B.
  let pending: Matrix?
  /// C × P: inputs of the current period that lie before the current block, and what later outputs of it wait for.
  let history: Matrix?

  init(_ state: MixerState, first: Int, _ tiling: Tiling) {
    window = state.matrix(first)
    pending = tiling.hasTiles ? state.matrix(first + 1) : nil
    history = tiling.hasTiles ? state.matrix(first + 2) : nil
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
    if let tape = operations.tape, let prepared {
      if operations.repeats > 1 { tape.block("a power of a stretch through a long convolution") }
      let run = LongRun(x: x, y: y, position: position, before: own, tiling)
      let lags = prepared.columns(stage * channels..<(stage + 1) * channels)
      let gradients = tape.gradients
      tape.record { self.back(run, stage: stage, lags: lags, state: own, gradients, kernels) }
    }
    let direct = direct(stage, kernels)
    var (done, position) = (0, position)
    while done < x.rows {
      let place = Int(position % Int64(Tiling.base))
      let rows = done..<min(x.rows, done + Tiling.base - place)
      let (input, output) = (x.rows(rows), y.rows(rows))
      convolveDirectly(input, own.window, direct, into: output, isNaive: operations.form == .naive, kernels)
      if let pending = own.pending { kernels.add(pending.rows(place..<place + rows.count), into: output) }
      done = rows.upperBound
      position += Int64(rows.count)
      if place + rows.count == Tiling.base, let pending = own.pending, let history = own.history {
        tile(at: position, stage: stage, own.window, pending, history, isNaive: operations.form == .naive, kernels)
      }
    }
    return y
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

  /// One tile, and what the next block of outputs is to get from all tiles so far. Channels are shared out over the team.
  private func tile(
    at position: Int64, stage: Int, _ window: Matrix, _ pending: Matrix, _ history: Matrix, isNaive: Bool, _ kernels: Kernels
  ) {
    let (size, start) = tiling.tile(at: position)
    let (inputs, outputs) = (tiling.inputs(size, before: start), tiling.outputs(size, from: start))
    let (block, next) = (inputs.upperBound - Tiling.base..<inputs.upperBound, start..<start + Tiling.base)
    history.columns(block).copyTransposed(from: window)
    let replaces = start == 0
    if isNaive {
      multiplyDirectly(history, inputs, outputs, stage, replaces: replaces, kernels)
    } else {
      let spectra = spectra(stage, tile: size, kernels)
      let parts = min(kernels.team.threads, channels)
      kernels.team.run(parts) { part in
        let range = channels * part / parts..<channels * (part + 1) / parts
        self.multiply(history, inputs, outputs, spectra, channels: range, replaces: replaces, kernels.table)
      }
    }
    pending.copyTransposed(from: history.columns(next))
  }

  /// A middle product by a cyclic one of twice the size: of its places, the last U are those of no wrap.
  private func multiply(
    _ history: Matrix, _ inputs: Range<Int>, _ outputs: Range<Int>, _ spectra: Matrix, channels range: Range<Int>, replaces: Bool,
    _ table: KernelTable
  ) {
    let size = inputs.count
    guard let plan = plans[size] else { preconditionFailure("no tile of \(size)") }
    let (room, solo) = (FourierRoom(2 * size), Kernels(table: table, team: WorkerTeam(threads: 1), compute: .fp32))
    let (early, late) = (room.signal.columns(0..<size), room.signal.columns(size..<2 * size))
    for channel in range {
      let row = history.rows(channel..<channel + 1)
      early.copy(from: row.columns(inputs))
      late.fill(0)
      plan.transform(room.signal, into: room.spectrum)
      let filter = spectra.rows(channel..<channel + 1).columns(0..<room.spectrum.columns)
      solo.multiplySpectra(room.spectrum, filter, into: room.product)
      plan.inverse(room.product, into: room.signal)
      let target = row.columns(outputs)
      if replaces { target.copy(from: late) } else { solo.add(late, into: target) }
    }
  }

  /// The same from the definition, in double precision: what the transforms are held against.
  private func multiplyDirectly(
    _ history: Matrix, _ inputs: Range<Int>, _ outputs: Range<Int>, _ stage: Int, replaces: Bool, _ kernels: Kernels
  ) {
    let size = inputs.count
    let lags = self.lags(2 * size, kernels)
    for channel in 0..<channels {
      let row = history.rows(channel..<channel + 1)
      let (x, waiting) = (row.columns(inputs).array(), row.columns(outputs).array())
      let h = (0..<min(2 * size, tiling.length)).map { $0 < Tiling.base ? 0 : Double(lags[$0, stage * channels + channel]) }
      for place in 0..<size {
        var sum = replaces ? 0 : Double(waiting[place])
        // Input i is size + place - i tokens older than the output.
        for i in min(size, max(0, size + place - h.count + 1))..<size { sum += h[size + place - i] * Double(x[i]) }
        row[0, outputs.lowerBound + place] = Float(sum)
      }
    }
  }
}
