import MeanderKernels

/// The tiles of one run: channel by channel, the largest of those that give to one output first.
struct LongTiles: Sendable {
  let tiling: Tiling
  /// For each level.
  let plans: [FourierPlan]
  let places: RunPlaces
  let rows: [TileRow]
  /// For each level; and the filter's lags, K × C, in their place where the tiles are to be computed from the definition.
  let spectra: [FilterSpectra]
  let lags: Matrix?
  let table: KernelTable

  /// Channels that go from rows of tokens to rows of their own at a time: as many numbers as are fetched at once.
  private static let group = 16

  /// Puts inputs in their places and adds to y, T × C, what lies beyond the direct lags.
  ///
  /// - Parameters:
  ///   - window: the one before the run.
  ///   - period, pending: move on.
  func compute(_ channels: Range<Int>, _ x: Matrix, _ window: Matrix, _ period: Matrix, _ pending: Matrix, into y: Matrix) {
    let room = TileRoom(rows, tiling, wraps: places.wraps)
    let sums = Matrix(rows: min(Self.group, channels.count), columns: places.outputs.count)
    for first in stride(from: channels.lowerBound, to: channels.upperBound, by: Self.group) {
      let group = first..<min(first + Self.group, channels.upperBound)
      let (own, period) = (sums.rows(0..<group.count), period.rows(group))
      if places.wraps {
        period.columns(tiling.period - Tiling.base..<tiling.period).copyTransposed(from: window.columns(group))
        for channel in group { wrap(period.rows(channel - first..<channel - first + 1), channel, room) }
      }
      own.copy(from: period.columns(places.outputs))
      // A block that was begun before stands in both, and is read from one of them in every run.
      if places.beginsWithinBlock { own.columns(0..<Tiling.base).copyTransposed(from: pending.columns(group)) }
      place(x.columns(group), window.columns(group), in: period)
      for channel in group {
        let row = channel - first..<channel - first + 1
        let line = LongLine(period: period.rows(row), sums: own.rows(row), outputs: places.outputs)
        for tiles in rows {
          if let lags {
            multiplyDirectly(tiles, line, lags.columns(channel..<channel + 1))
          } else {
            multiply(tiles, line, channel, room)
          }
        }
      }
      let last = places.pending.lowerBound - places.outputs.lowerBound..<places.outputs.count
      period.columns(places.pending).copy(from: own.columns(last))
      pending.columns(group).copyTransposed(from: own.columns(last))
      let asked = places.tokens.lowerBound - places.outputs.lowerBound
      y.columns(group).addTransposed(own.columns(asked..<asked + x.rows))
    }
  }

  /// Inputs, rows of tokens, to rows of channels.
  private func place(_ x: Matrix, _ window: Matrix, in period: Matrix) {
    let (inputs, count) = (places.inputs, places.inputsOfWindow)
    let border = inputs.lowerBound + count
    period.columns(inputs.lowerBound..<border).copyTransposed(from: window.rows(Tiling.base - count..<Tiling.base))
    if border < inputs.upperBound {
      period.columns(border..<inputs.upperBound).copyTransposed(from: x.rows(0..<inputs.upperBound - border))
    }
  }

  /// The period's tile: outputs take the places of inputs.
  private func wrap(_ row: Matrix, _ channel: Int, _ room: TileRoom) {
    let level = tiling.levels.count - 1
    if let lags {
      let sums = direct(row.array(), by: lags.columns(channel..<channel + 1))
      return row.copy(from: Matrix(sums.map { Float($0) }, rows: 1, columns: sums.count))
    }
    let size = tiling.period
    let (inputs, outputs) = (room.inputs(1, size), room.outputs(1, size))
    plans[level].transform(early: row, into: inputs, room: room.one(size), table)
    table.sumSpectra(inputs, by: spectra[level].of(channel), first: 1, into: outputs)
    plans[level].inverse(outputs, room: room.one(size)).take(0..<size, isLate: true, adding: false, into: row, table)
  }

  /// Middle products by negacyclic ones of 2s places, of which the last s are those of no wrap.
  private func multiply(_ tiles: TileRow, _ line: LongLine, _ channel: Int, _ room: TileRoom) {
    let (size, plan) = (tiling.levels[tiles.level].size, plans[tiles.level])
    let inputs = room.inputs(tiles.first + tiles.count - 1, size)
    for block in 0..<inputs.rows {
      let start = tiles.start + block * size
      plan.transform(
        early: line.period.columns(start..<start + size), into: inputs.rows(block..<block + 1), room: room.one(size), table)
    }
    let outputs = room.outputs(tiles.count, size)
    table.sumSpectra(inputs, by: spectra[tiles.level].of(channel), first: tiles.first, into: outputs)
    for tile in 0..<tiles.count {
      let found = plan.inverse(outputs.rows(tile..<tile + 1), room: room.one(size))
      let start = tiles.start + (tiles.first + tile) * size
      for (target, places) in line.targets(start..<start + size) {
        found.take(places, isLate: true, adding: true, into: target, table)
      }
    }
  }

  /// The same from the definition, in double precision: what the transforms are held against.
  private func multiplyDirectly(_ tiles: TileRow, _ line: LongLine, _ lags: Matrix) {
    let size = tiling.levels[tiles.level].size
    for tile in tiles.first..<tiles.first + tiles.count {
      let start = tiles.start + tile * size
      let sums = direct(line.period.columns(tiles.start..<start).array(), by: lags, outputs: size)
      for (target, places) in line.targets(start..<start + size) {
        for place in places {
          let column = place - places.lowerBound
          target[0, column] = Float(Double(target[0, column]) + sums[place])
        }
      }
    }
  }

  /// What inputs give to the outputs behind them over the lags from B on.
  private func direct(_ x: [Float], by lags: Matrix, outputs: Int? = nil) -> [Double] {
    (0..<(outputs ?? x.count)).map { place in
      // Input i is x.count + place - i tokens older than the output.
      let (first, end) = (max(0, x.count + place - lags.rows + 1), min(x.count, x.count + place - Tiling.base + 1))
      return first < end ? (first..<end).reduce(0.0) { $0 + Double(lags[x.count + place - $1, 0]) * Double(x[$1]) } : 0
    }
  }
}

/// One channel of a run.
private struct LongLine {
  /// 1 × P: inputs, and behind the run's last block what outputs wait for.
  let period: Matrix
  /// The outputs of the run's blocks.
  let sums: Matrix
  let outputs: Range<Int>

  /// Where some outputs are gathered, and which of them: within the run's blocks, and behind.
  func targets(_ wanted: Range<Int>) -> [(Matrix, Range<Int>)] {
    let border = min(max(wanted.lowerBound, outputs.upperBound), wanted.upperBound)
    let (near, far) = (wanted.lowerBound..<border, border..<wanted.upperBound)
    var targets: [(Matrix, Range<Int>)] = []
    if !near.isEmpty {
      let first = near.lowerBound - outputs.lowerBound
      targets.append((sums.columns(first..<first + near.count), 0..<near.count))
    }
    if !far.isEmpty { targets.append((period.columns(far), near.count..<wanted.count)) }
    return targets
  }
}

/// Room for the largest row of tiles: spectra of inputs and of outputs, and one transform.
private struct TileRoom {
  private let storage: Storage
  private let inputFloats, outputFloats: Int

  init(_ rows: [TileRow], _ tiling: Tiling, wraps: Bool) {
    var (inputs, outputs, one) = wraps ? (2 * tiling.period, 2 * tiling.period, 2 * tiling.period) : (0, 0, 0)
    for row in rows {
      let width = 2 * tiling.levels[row.level].size
      inputs = max(inputs, (row.first + row.count - 1) * width)
      outputs = max(outputs, row.count * width)
      one = max(one, width)
    }
    (inputFloats, outputFloats) = (inputs, outputs)
    storage = Storage(byteCount: 4 * (inputs + outputs + one))
  }

  func inputs(_ count: Int, _ size: Int) -> Matrix { Matrix(storage, offset: 0, rows: count, columns: 2 * size) }
  func outputs(_ count: Int, _ size: Int) -> Matrix {
    Matrix(storage, offset: 4 * inputFloats, rows: count, columns: 2 * size)
  }
  func one(_ size: Int) -> Matrix {
    Matrix(storage, offset: 4 * (inputFloats + outputFloats), rows: 1, columns: 2 * size)
  }
}
