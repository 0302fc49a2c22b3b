import MeanderKernels

/// Every `period` tokens the shadow, begun `kept` tokens before, takes the state's place; over the `fade` tokens before
/// that the state goes over to it step by step.
///
/// With `kept` equal to `period` this is the staggered window: what is read reaches `period` to 2 · `period` tokens
/// back.
struct StaggeredSwap: MitigationAction {
  let layers: [Int]
  let grid: Int
  let period: Int
  let kept: Int
  let fade: Int

  var replacesStates: Bool { true }

  /// The grid where none is given: a power of two up to 512 that divides `length`, into eight cells or more.
  static func grid(dividing length: Int) -> Int {
    guard length > 0 else { return 16 }
    var grid = max(16, min(LanguageModel.grid, length & -length))
    while grid > 16, grid * 8 > length { grid /= 2 }
    return grid
  }

  /// The fade where none is given: a sixteenth of `length`, and one cell of the grid at least.
  static func fade(of length: Int, grid: Int) -> Int {
    let grid = max(1, grid)
    return grid < length ? max(grid, length / 16 / grid * grid) : 0
  }

  /// Tokens until the next swap: `period` right after one.
  private func left(_ position: Int64) -> Int { period - Int(position % Int64(period)) }

  func needsShadow(_ layer: Int, at state: ModelState) -> Bool { left(state.position) <= kept }

  func act(_ moment: GridMoment) {
    let isSwap = moment.position % Int64(period) == 0
    let left = isSwap ? 0 : left(moment.position)
    if left <= fade {
      // Of n steps, the last being the swap itself, the first goes 1/n of the way, the next 1/(n-1) of the rest …
      let share = 1 / Double(left / grid + 1)
      for layer in layers {
        guard let headed = moment.headed(layer), let shadow = moment.shadow(layer) else { continue }
        if share == 1 {
          headed.recurrence.copy(from: shadow)
        } else {
          moment.kernels.combine(1 - share, headed.recurrence, share, shadow, into: headed.recurrence)
        }
      }
    }
    guard (isSwap ? period : left) == kept else { return }
    for layer in layers { moment.shadow(layer)?.fill(0) }
  }

  func report(_ state: ModelState) -> [String] {
    let swaps = state.position / Int64(period)
    guard swaps > 0 else { return [] }
    return ["all heads were swapped \(swaps) times, last after token \(swaps * Int64(period))"]
  }
}
