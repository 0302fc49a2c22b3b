import MeanderFiles
import MeanderKernels

/// The paper's window: h_w = h - a·h', with h' the state w tokens ago and a what is left of it.
///
/// The full state h is the shadow; the layer's own state is h_w. Between two cells of the grid both take in the same
/// tokens with the same factors, so the difference needs to be taken at cells alone, and the window is w to w + c
/// tokens long. Both are stored without the decay that is pending, and the shadow's folds are gathered as they were
/// really applied: a head that has not folded within the window subtracts its old numbers exactly as they were stored.
struct SubtractiveWindow: MitigationAction {
  let layers: [Int]
  let grid: Int
  /// w / c
  private let cells: Int
  private let regions: [Int: Regions]

  private struct Regions {
    /// The full states at the last w/c cells, a ring: cells × (H·N·P).
    let states: StateRegion
    /// What each of them was multiplied by since: cells × H.
    let factors: StateRegion
    /// The largest error so far, as a part of the state that is read: H.
    let errors: StateRegion
  }

  var replacesStates: Bool { true }

  init(layers: [Int], grid: Int, cells: Int, in plan: inout MitigationPlan) throws {
    (self.layers, self.grid, self.cells) = (layers, grid, cells)
    try plan.addShadows(layers, withFactors: true)
    var regions: [Int: Regions] = [:]
    for layer in layers {
      let shape = plan.shape(layer)
      regions[layer] = Regions(
        states: plan.region("window.states", layer: layer, [cells, shape[0] * shape[1], shape[2]]),
        factors: plan.region("window.factors", layer: layer, [cells, shape[0]], .f64),
        errors: plan.region("window.errors", layer: layer, [shape[0]], .f64))
    }
    self.regions = regions
  }

  func act(_ moment: GridMoment) {
    let cell = moment.position / Int64(grid)
    let slot = Int(cell % Int64(cells))
    for layer in layers {
      guard let headed = moment.headed(layer), let full = moment.shadow(layer), let regions = regions[layer],
        let cellFactors = moment.model.plan.factors[layer].map({ moment.state.doubles($0) })
      else { continue }
      let factors = moment.state.doubles(regions.factors)
      for head in 0..<headed.heads {
        // Before the first token of a stream all factors are 0, and so are the states that they belong to.
        let factor = cell == 1 ? 1 : cellFactors[head]
        for other in 0..<cells { factors[other * headed.heads + head] *= factor }
        cellFactors[head] = 1
      }
      let ring = moment.state.matrix(regions.states)
      let old = ring.rows(slot * full.rows..<(slot + 1) * full.rows)
      for head in 0..<headed.heads {
        let factor = cell <= Int64(cells) ? 0 : factors[slot * headed.heads + head]
        let (own, whole, past) = (headed.stored(head), headed.rows(head, of: full), headed.rows(head, of: old))
        if factor == 0 { own.copy(from: whole) } else { moment.kernels.combine(1, whole, -factor, past, into: own) }
        factors[slot * headed.heads + head] = 1
      }
      note(moment, full, headed, moment.state.doubles(regions.errors))
      old.copy(from: full)
    }
  }

  /// A number of h is off by half a grain of fp32 or so, and the difference takes that over whole.
  private func note(_ moment: GridMoment, _ full: Matrix, _ headed: HeadedState, _ errors: Doubles) {
    let whole = moment.kernels.headStatistics(full, heads: headed.heads)
    let read = moment.kernels.headStatistics(headed.recurrence, heads: headed.heads)
    for head in 0..<headed.heads where read[head].sumOfSquares > 0 {
      let error = 0x1p-24 * (whole[head].sumOfSquares / read[head].sumOfSquares).squareRoot()
      errors[head] = max(errors[head], error)
    }
  }

  func report(_ state: ModelState) -> [String] {
    var worst = (error: 0.0, layer: 0, head: 0)
    for layer in layers {
      guard let errors = regions[layer].map({ state.doubles($0.errors) }) else { continue }
      for head in 0..<errors.count where errors[head] > worst.error { worst = (errors[head], layer, head) }
    }
    guard worst.error > 0 else { return [] }
    return ["the window's difference is off by up to \(worst.error) of the state (layer \(worst.layer), head \(worst.head))"]
  }
}
