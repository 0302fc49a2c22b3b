import MeanderKernels
import MeanderModels

/// What the way back through a long convolution reads: one stage, one run of tokens.
struct LongRun {
  /// T × C each.
  let x, y: Matrix
  /// That of the first token.
  let position: Int64
  /// The window before it, B × C.
  let window: Matrix
  /// C × the inputs of its period that lay before its block then.
  let history: Matrix?

  init(x: Matrix, y: Matrix, position: Int64, before state: LongState, _ tiling: Tiling) {
    (self.x, self.y, self.position) = (x, y, position)
    window = Matrix(state.window.array(), rows: state.window.rows, columns: state.window.columns)
    history = state.history.map { history in
      let known = Int(position % Int64(tiling.period)) / Tiling.base * Tiling.base
      let copy = Matrix(rows: history.rows, columns: known)
      copy.copy(from: history.columns(0..<known))
      return copy
    }
  }
}

extension FourierFilter {
  /// Back through `convolve`. The gradients of the state's regions go from those after the run to those before it.
  ///
  /// - Parameter lags: n × C, the part of the prepared lags that is this stage's; what takes their gradients.
  func back(_ run: LongRun, stage: Int, lags: Matrix, state: LongState, _ gradients: Gradients, _ kernels: Kernels) {
    guard run.x.rows > 0 else { return }
    let (dx, dlags) = (gradients.of(run.x), gradients.wanted(lags))
    let dwindow = gradients.of(state.window)
    let dy = gradients.of(run.y)
    // The last B inputs after the run, in terms of the window before it and the run itself.
    let after = Matrix(dwindow.array(), rows: dwindow.rows, columns: dwindow.columns)
    dwindow.fill(0)
    let width = Tiling.base
    for row in 0..<width {
      let place = run.x.rows + row
      let target = place < width ? dwindow.rows(place..<place + 1) : dx.rows(place - width..<place - width + 1)
      kernels.add(after.rows(row..<row + 1), to: target)
    }
    backThroughTiles(run, stage: stage, dy: dy, dx: dx, dwindow: dwindow, dlags: dlags, state, gradients, kernels)
    let dweight = dlags.map { _ in Matrix(rows: width, columns: channels) }
    kernels.causalConvolutionBackward(
      run.x, taps: run.window.rows(1..<width), weight: direct(stage, kernels), bias: nil, silu: false, dy: dy, dx: dx,
      dtaps: dwindow.rows(1..<width), dweight: dweight, dbias: nil)
    guard let dlags, let dweight else { return }
    for lag in 0..<min(width, dlags.rows) {
      kernels.add(dweight.rows(width - 1 - lag..<width - lag), to: dlags.rows(lag..<lag + 1))
    }
  }

  private func backThroughTiles(
    _ run: LongRun, stage: Int, dy: Matrix, dx: Matrix, dwindow: Matrix, dlags: Matrix?, _ state: LongState,
    _ gradients: Gradients, _ kernels: Kernels
  ) {
    guard let pending = state.pending, let history = state.history, let before = run.history else { return }
    let (dpending, dhistory) = (gradients.of(pending), gradients.of(history))
    let places = RunPlaces(run.position, run.x.rows, tiling)
    let sizes = places.sizes(tiling)
    // One channel's numbers in a row each: its inputs from the start of the period on, and what the outputs were asked for.
    let inputs = Matrix(rows: 1, columns: places.inputCount)
    let dinputs = Matrix(rows: 1, columns: places.inputCount)
    let doutputs = Matrix(rows: 1, columns: places.outputCount)
    let sums = sizes.map { Matrix(rows: 1, columns: FourierPlan.spectrumWidth(2 * $0)) }
    for channel in 0..<channels {
      places.gather(channel, run, before, into: inputs)
      places.gather(channel, dy: dy, dpending: dpending, into: doutputs)
      dinputs.fill(0)
      for sum in sums { sum.fill(0) }
      let row = dhistory.rows(channel..<channel + 1)
      for position in places.boundaries.reversed() {
        let (size, start) = tiling.tile(at: position)
        // The outputs of the block are read from where they wait.
        let block = places.output(position)
        row.columns(start..<start + Tiling.base).copy(from: doutputs.columns(block..<block + Tiling.base))
        let end = places.input(position)
        guard let number = sizes.firstIndex(of: size), let plan = plans[size] else { preconditionFailure("no tile of \(size)") }
        let tile = TileGradient(
          plan: plan, filter: spectra(stage, tile: size, kernels).rows(channel..<channel + 1), sum: dlags == nil ? nil : sums[number],
          replaces: start == 0)
        tile.back(
          row, outputs: tiling.outputs(size, from: start), into: tiling.inputs(size, before: start),
          x: inputs.columns(end - size..<end), kernels)
        // The inputs of the block before came from the window.
        let last = tiling.inputs(size, before: start).upperBound
        let kept = row.columns(last - Tiling.base..<last)
        kernels.add(kept, into: dinputs.columns(end - Tiling.base..<end))
        kept.fill(0)
      }
      places.scatter(channel, dinputs, dx: dx, dwindow: dwindow)
      places.scatter(channel, doutputs, dpending: dpending)
      if let dlags { addLags(sums, sizes, to: dlags.columns(channel..<channel + 1)) }
    }
  }

  /// Adds what the tiles of each size found, from the lags that they hold.
  private func addLags(_ sums: [Matrix], _ sizes: [Int], to dlags: Matrix) {
    for (sum, size) in zip(sums, sizes) {
      guard let plan = plans[size] else { continue }
      let signal = Matrix(rows: 1, columns: 2 * size)
      plan.inverse(sum, into: signal)
      let scale = 1 / Float(2 * size)
      for lag in Tiling.base..<max(Tiling.base, min(2 * size, dlags.rows)) { dlags[lag, 0] += signal[0, lag] * scale }
    }
  }
}

/// One tile gone back over, for one channel.
private struct TileGradient {
  let plan: FourierPlan
  /// The filter's spectrum, perhaps padded.
  let filter: Matrix
  /// The spectrum of the lags' gradient, to be added to.
  let sum: Matrix?
  /// Whether outputs took the inputs' place.
  let replaces: Bool

  /// `row` holds the gradients of what a channel keeps: those of the outputs give to those of the inputs.
  func back(_ row: Matrix, outputs: Range<Int>, into inputs: Range<Int>, x: Matrix, _ kernels: Kernels) {
    let size = inputs.count
    let (asked, known) = (FourierRoom(2 * size), FourierRoom(2 * size))
    asked.signal.columns(0..<size).fill(0)
    asked.signal.columns(size..<2 * size).copy(from: row.columns(outputs))
    plan.transform(asked.signal, into: asked.spectrum)
    if let sum {
      known.signal.fill(0)
      known.signal.columns(0..<size).copy(from: x)
      plan.transform(known.signal, into: known.spectrum)
      kernels.multiplySpectra(asked.spectrum, known.spectrum, conjugating: true, adding: true, into: sum)
    }
    kernels.multiplySpectra(
      asked.spectrum, filter.columns(0..<asked.spectrum.columns), conjugating: true, into: asked.product)
    plan.inverse(asked.product, into: asked.signal)
    let found = asked.signal.columns(0..<size)
    if replaces { row.columns(inputs).copy(from: found) } else { kernels.add(found, into: row.columns(inputs)) }
  }
}

/// Where the tokens of a run stand among periods and blocks.
private struct RunPlaces {
  let position, end: Int64
  /// The starts of the period and of the block that the run begins in.
  let period, block: Int64

  init(_ position: Int64, _ count: Int, _ tiling: Tiling) {
    (self.position, end) = (position, position + Int64(count))
    period = position - position % Int64(tiling.period)
    block = position - position % Int64(Tiling.base)
  }

  private static let base = Int64(Tiling.base)

  /// The positions at which a tile was computed during the run.
  var boundaries: [Int64] { Array(stride(from: block + Self.base, through: end, by: Tiling.base)) }

  /// The sizes of those tiles.
  func sizes(_ tiling: Tiling) -> [Int] { Set(boundaries.map { tiling.tile(at: $0).size }).sorted() }

  var inputCount: Int { Int(end - period) }
  func input(_ position: Int64) -> Int { Int(position - period) }
  /// Outputs up to the end of the block that the run ends in.
  var outputCount: Int { Int(end - end % Self.base + Self.base - block) }
  func output(_ position: Int64) -> Int { Int(position - block) }

  /// Inputs of the period that lie before the run come from the history, those of the block from the window.
  func gather(_ channel: Int, _ run: LongRun, _ before: Matrix, into inputs: Matrix) {
    inputs.columns(0..<before.columns).copy(from: before.rows(channel..<channel + 1))
    let partial = Int(position - block)
    for place in 0..<partial { inputs[0, input(block) + place] = run.window[Tiling.base - partial + place, channel] }
    for row in 0..<run.x.rows { inputs[0, input(position) + row] = run.x[row, channel] }
  }

  func gather(_ channel: Int, dy: Matrix, dpending: Matrix, into outputs: Matrix) {
    outputs.fill(0)
    for row in 0..<dy.rows { outputs[0, output(position) + row] = dy[row, channel] }
    let last = end - end % Self.base
    for place in Int(end - last)..<Tiling.base { outputs[0, output(last) + place] = dpending[place, channel] }
  }

  func scatter(_ channel: Int, _ dinputs: Matrix, dx: Matrix, dwindow: Matrix) {
    let partial = Int(position - block)
    for place in 0..<partial { dwindow[Tiling.base - partial + place, channel] += dinputs[0, input(block) + place] }
    for row in 0..<dx.rows { dx[row, channel] += dinputs[0, input(position) + row] }
  }

  func scatter(_ channel: Int, _ doutputs: Matrix, dpending: Matrix) {
    let partial = Int(position - block)
    for place in 0..<Tiling.base { dpending[place, channel] = place < partial ? 0 : doutputs[0, place] }
  }
}
