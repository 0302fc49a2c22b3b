import MeanderFiles
import MeanderKernels

/// A window without subtraction, by a queue of two stacks: cells of the grid compose associatively.
///
/// A cell is what c tokens do to a state: h ← e^l · h + s. Two of them after each other are (l₁ + l₂, e^l₂·s₁ + s₂).
/// The shadow begins at zero in every cell, so at its end it is s. Of each run of w/c cells the compositions of the
/// last k are kept for every k (the back), and of the cells since then the composition of all (the front); what is read
/// is front ∘ back. The window is w to w + c tokens long, and no number is ever larger than the window's own.
struct TwoStackWindow: MitigationAction {
  let layers: [Int]
  let grid: Int
  /// w / c
  private let cells: Int
  private let regions: [Int: Regions]

  private struct Regions {
    /// Of the w/c slots the first k hold the cells since the last run, the others its last compositions: cells ×
    /// (H·N·P).
    let slots: StateRegion
    /// The log-decay of each cell since the last run: cells × H.
    let decays: StateRegion
    /// All cells since the last run, composed: H·N·P, and their log-decay: H.
    let front: StateRegion
    let frontDecay: StateRegion
    /// The decay since the stream's start as it was when the cell began: H.
    let before: StateRegion
  }

  var replacesStates: Bool { true }

  init(layers: [Int], grid: Int, cells: Int, in plan: inout MitigationPlan) throws {
    (self.layers, self.grid, self.cells) = (layers, grid, cells)
    try plan.addShadows(layers)
    var regions: [Int: Regions] = [:]
    for layer in layers {
      let shape = plan.shape(layer)
      let rows = shape[0] * shape[1]
      regions[layer] = Regions(
        slots: plan.region("window.slots", layer: layer, [cells, rows, shape[2]]),
        decays: plan.region("window.decays", layer: layer, [cells, shape[0]], .f64),
        front: plan.region("window.front", layer: layer, [rows, shape[2]]),
        frontDecay: plan.region("window.front_decay", layer: layer, [shape[0]], .f64),
        before: plan.region("window.before", layer: layer, [shape[0]], .f64))
    }
    self.regions = regions
  }

  func act(_ moment: GridMoment) {
    // How many cells were complete since the last run, this one not counted.
    let done = Int((moment.position / Int64(grid) - 1) % Int64(cells))
    for layer in layers {
      guard let headed = moment.headed(layer), let shadow = moment.shadow(layer), let regions = regions[layer]
      else { continue }
      let queue = Queue(
        kernels: moment.kernels, headed: headed, slots: moment.state.matrix(regions.slots),
        decays: moment.state.doubles(regions.decays), front: moment.state.matrix(regions.front),
        frontDecay: moment.state.doubles(regions.frontDecay), cells: cells)
      let before = moment.state.doubles(regions.before)
      for head in 0..<headed.heads {
        let decay = headed.total[head] - before[head]
        before[head] = headed.total[head]
        queue.push(shadow, decay: decay, head: head, at: done)
        if done + 1 == cells { queue.turn(head) }
        queue.read(head, behind: (done + 1) % cells)
      }
      shadow.fill(0)
      headed.pending.fill(0)
    }
  }

  /// One layer's two stacks.
  private struct Queue {
    let kernels: Kernels
    let headed: HeadedState
    let slots: Matrix
    let decays: Doubles
    let front: Matrix
    let frontDecay: Doubles
    let cells: Int

    private func slot(_ index: Int, _ head: Int) -> Matrix {
      let rows = headed.recurrence.rows
      return headed.rows(head, of: slots.rows(index * rows..<(index + 1) * rows))
    }

    /// Takes in a cell that is complete: its state is the shadow with the decay that is pending.
    func push(_ shadow: Matrix, decay: Double, head: Int, at index: Int) {
      let (cell, front) = (slot(index, head), headed.rows(head, of: front))
      let shadow = headed.rows(head, of: shadow)
      kernels.combine(exponential(headed.pending[head]), shadow, 0, shadow, into: cell)
      decays[index * headed.heads + head] = decay
      kernels.combine(exponential(decay), front, 1, cell, into: front)
      frontDecay[head] += decay
    }

    /// The front is full: its cells become the back, each composed with all that came after it.
    func turn(_ head: Int) {
      var decay = 0.0
      for index in (0..<cells - 1).reversed() {
        decay += decays[(index + 1) * headed.heads + head]
        let own = slot(index, head)
        kernels.combine(1, slot(index + 1, head), exponential(decay), own, into: own)
      }
      headed.rows(head, of: front).fill(0)
      frontDecay[head] = 0
    }

    /// The window's state, with nothing pending: front ∘ back, of which `behind` compositions have left the window.
    func read(_ head: Int, behind: Int) {
      let back = slot(behind, head)
      kernels.combine(
        1, headed.rows(head, of: front), exponential(frontDecay[head]), back, into: headed.stored(head))
    }
  }

  func report(_ state: ModelState) -> [String] { [] }
}
