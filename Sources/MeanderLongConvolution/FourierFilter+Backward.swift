import MeanderKernels
import MeanderModels

/// What the way back through a long convolution reads: one stage, one run of tokens within a period.
struct LongRun: Sendable {
  /// T × C each.
  let x, y: Matrix
  let places: RunPlaces
  /// The window before it, B × C.
  let window: Matrix
  /// C × the inputs of its period that stood in their places then; of the period before it where the run begins with that tile.
  let known: Matrix?

  init(x: Matrix, y: Matrix, _ places: RunPlaces, before state: LongState, _ tiling: Tiling) {
    (self.x, self.y, self.places) = (x, y, places)
    window = Matrix(state.window.array(), rows: state.window.rows, columns: state.window.columns)
    known = state.period.flatMap { period in
      guard !places.boundaries.isEmpty else { return nil }
      let known = places.wraps ? 0..<tiling.period - Tiling.base : 0..<places.inputs.lowerBound
      let copy = Matrix(rows: period.rows, columns: known.count)
      copy.copy(from: period.columns(known))
      return copy
    }
  }
}

extension FourierFilter {
  /// Back through `advance`. The gradients of the state's regions go from those after the run to those before it.
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
    if let pending = state.pending, let period = state.period {
      let (dpending, dperiod) = (gradients.of(pending), gradients.of(period))
      if run.places.boundaries.isEmpty {
        let place = run.places.tokens.lowerBound % width
        kernels.add(dy, to: dpending.rows(place..<place + dy.rows))
      } else {
        backThroughTiles(run, stage: stage, LongGradients(dy, dx, dwindow, dlags, dpending, dperiod), kernels)
      }
    }
    let dweight = dlags.map { _ in Matrix(rows: width, columns: channels) }
    kernels.causalConvolutionBackward(
      run.x, taps: run.window.rows(1..<width), weight: direct(stage, kernels), bias: nil, silu: false, dy: dy, dx: dx,
      dtaps: dwindow.rows(1..<width), dweight: dweight, dbias: nil)
    guard let dlags, let dweight else { return }
    for lag in 0..<min(width, dlags.rows) {
      kernels.add(dweight.rows(width - 1 - lag..<width - lag), to: dlags.rows(lag..<lag + 1))
    }
  }

  private func backThroughTiles(_ run: LongRun, stage: Int, _ gradients: LongGradients, _ kernels: Kernels) {
    let rows = run.places.rows(tiling)
    var pieces = [Int](repeating: 0, count: tiling.levels.count)
    for row in rows { pieces[row.level] = max(pieces[row.level], row.first + row.count - 1) }
    if run.places.wraps { pieces[pieces.count - 1] = 1 }
    let tiles = LongTilesBack(
      tiling: tiling, plans: plans, run: run, rows: rows, gradients: gradients, pieces: pieces,
      spectra: pieces.indices.map { spectra(stage, level: $0, pieces: pieces[$0], kernels) }, kernels: kernels)
    let parts = min(kernels.team.threads, channels)
    kernels.team.run(parts) { part in
      for channel in channels * part / parts..<channels * (part + 1) / parts { tiles.back(channel) }
    }
  }
}

/// The gradients that the tiles of a run move.
struct LongGradients: Sendable {
  let y, x, window: Matrix
  let lags: Matrix?
  let pending, period: Matrix

  init(_ y: Matrix, _ x: Matrix, _ window: Matrix, _ lags: Matrix?, _ pending: Matrix, _ period: Matrix) {
    (self.y, self.x, self.window, self.lags, self.pending, self.period) = (y, x, window, lags, pending, period)
  }
}

/// The tiles of one run gone back over.
private struct LongTilesBack: Sendable {
  let tiling: Tiling
  let plans: [FourierPlan]
  let run: LongRun
  let rows: [TileRow]
  let gradients: LongGradients
  /// For each level, how many pieces of the filter were at work, and their spectra.
  let pieces: [Int]
  let spectra: [FilterSpectra]
  let kernels: Kernels

  private var table: KernelTable { kernels.table }

  /// One channel, against the order of the way forth.
  func back(_ channel: Int) {
    let places = run.places
    func column(_ matrix: Matrix) -> Matrix { matrix.columns(channel..<channel + 1) }
    let period = gradients.period.rows(channel..<channel + 1)
    let found = pieces.indices.map { Matrix(rows: pieces[$0], columns: 2 * tiling.levels[$0].size) }
    // Inputs in their places, as far as the run's tiles read any.
    let inputs = Matrix(rows: 1, columns: places.inputs.upperBound)
    if let known = run.known, !places.wraps {
      inputs.columns(0..<known.columns).copy(from: known.rows(channel..<channel + 1))
    }
    let (count, border) = (places.inputsOfWindow, places.inputs.lowerBound + places.inputsOfWindow)
    let ofWindow = Tiling.base - count..<Tiling.base
    inputs.columns(places.inputs.lowerBound..<border).copyTransposed(from: column(run.window).rows(ofWindow))
    inputs.columns(border..<inputs.columns).copyTransposed(from: column(run.x).rows(0..<inputs.columns - border))

    // What the outputs of the run's blocks were asked for; those behind stand in the period.
    let outputs = places.outputs
    let sums = Matrix(rows: 1, columns: outputs.count)
    let asked = places.tokens.lowerBound - outputs.lowerBound
    sums.columns(asked..<asked + run.x.rows).copyTransposed(from: column(gradients.y))
    let last = places.pending.lowerBound - outputs.lowerBound..<outputs.count
    sums.columns(last).addTransposed(column(gradients.pending))
    kernels.add(period.columns(places.pending), to: sums.columns(last))
    period.columns(places.pending).fill(0)
    for tiles in rows { back(tiles, channel, inputs, sums, period, found[tiles.level]) }

    let fresh = period.columns(places.inputs)
    column(gradients.window).rows(ofWindow).addTransposed(fresh.columns(0..<count))
    column(gradients.x).rows(0..<inputs.columns - border).addTransposed(fresh.columns(count..<fresh.columns))
    fresh.fill(0)
    period.columns(outputs).copy(from: sums)
    let pending = column(gradients.pending)
    pending.fill(0)
    if places.beginsWithinBlock {
      // What its outputs waited for was read from there, and not from the period.
      pending.copyTransposed(from: sums.columns(0..<Tiling.base))
      period.columns(outputs.lowerBound..<outputs.lowerBound + Tiling.base).fill(0)
    }
    if places.wraps { unwrap(channel, period, found[found.count - 1]) }
    if let lags = gradients.lags { add(found, to: column(lags)) }
  }

  /// One row of tiles: gradients of outputs give to those of inputs, and with the inputs to those of the filter's spectra.
  private func back(_ tiles: TileRow, _ channel: Int, _ inputs: Matrix, _ sums: Matrix, _ period: Matrix, _ found: Matrix) {
    let size = tiling.levels[tiles.level].size
    let (plan, filter) = (plans[tiles.level], spectra[tiles.level].of(channel))
    let blocks = tiles.first + tiles.count - 1
    let asked = Matrix(rows: tiles.count, columns: 2 * size)
    let late = Matrix(rows: 1, columns: size)
    let (sum, room) = (Matrix(rows: 1, columns: 2 * size), Matrix(rows: 1, columns: 2 * size))
    for tile in 0..<tiles.count {
      let start = tiles.start + (tiles.first + tile) * size
      let border = min(max(start, run.places.outputs.upperBound), start + size)
      let first = start - run.places.outputs.lowerBound
      if border > start { late.columns(0..<border - start).copy(from: sums.columns(first..<first + border - start)) }
      if border < start + size { late.columns(border - start..<size).copy(from: period.columns(border..<start + size)) }
      plan.transform(late: late, into: asked.rows(tile..<tile + 1), room: room, table)
    }
    for block in 0..<blocks {
      let places = tiles.start + block * size..<tiles.start + (block + 1) * size
      // The tiles behind the block, each with the piece of the filter between them.
      let behind = max(0, block + 1 - tiles.first)..<tiles.count
      sum.fill(0)
      for tile in behind {
        let piece = tiles.first + tile - block
        table.multiplySpectra(
          asked.rows(tile..<tile + 1), filter.rows(piece - 1..<piece), conjugating: true, adding: true, into: sum)
      }
      plan.inverse(sum, room: room).take(0..<size, isLate: false, adding: true, into: period.columns(places), table)
      guard gradients.lags != nil else { continue }
      plan.transform(early: inputs.columns(places), into: sum, room: room, table)
      for tile in behind {
        let piece = tiles.first + tile - block
        table.multiplySpectra(
          asked.rows(tile..<tile + 1), sum, conjugating: true, adding: true, into: found.rows(piece - 1..<piece))
      }
    }
  }

  /// The period's tile.
  private func unwrap(_ channel: Int, _ period: Matrix, _ found: Matrix) {
    let (size, level) = (tiling.period, tiling.levels.count - 1)
    let rows = Matrix(rows: 4, columns: 2 * size)
    let (asked, known, product, room) = (rows.rows(0..<1), rows.rows(1..<2), rows.rows(2..<3), rows.rows(3..<4))
    let window = Tiling.base
    plans[level].transform(late: period, into: asked, room: room, table)
    if gradients.lags != nil, let before = run.known {
      let inputs = Matrix(rows: 1, columns: size)
      inputs.columns(0..<size - window).copy(from: before.rows(channel..<channel + 1))
      inputs.columns(size - window..<size).copyTransposed(from: run.window.columns(channel..<channel + 1))
      plans[level].transform(early: inputs, into: known, room: room, table)
      table.multiplySpectra(asked, known, conjugating: true, adding: true, into: found)
    }
    table.multiplySpectra(asked, spectra[level].of(channel), conjugating: true, into: product)
    plans[level].inverse(product, room: room).take(0..<size, isLate: false, adding: false, into: period, table)
    // Its last inputs came from the window.
    let fresh = period.columns(size - window..<size)
    gradients.window.columns(channel..<channel + 1).addTransposed(fresh)
    fresh.fill(0)
  }

  /// Adds what the tiles of each level found to the lags that its pieces hold, n × 1.
  private func add(_ found: [Matrix], to dlags: Matrix) {
    for (level, sums) in found.enumerated() {
      let size = tiling.levels[level].size
      let rows = Matrix(rows: 2, columns: 2 * size)
      let places = rows.rows(0..<1)
      for piece in 0..<sums.rows {
        let product = plans[level].inverse(sums.rows(piece..<piece + 1), room: rows.rows(1..<2))
        for isLate in [false, true] {
          product.take(
            0..<size, isLate: isLate, adding: false, into: places.columns(isLate ? size..<2 * size : 0..<size), table)
        }
        let start = piece * size
        for lag in max(start, Tiling.base)..<max(start, Tiling.base, min(start + 2 * size, dlags.rows)) {
          dlags[lag, 0] += places[0, lag - start] / Float(size)
        }
      }
    }
  }
}
