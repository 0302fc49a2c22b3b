import MeanderFiles
import MeanderKernels

/// A forgetting reset: a head's state is swapped for one that began w to 2w tokens earlier, every n tokens or when the
/// gauge raises an alarm for it. Nothing of the input is kept for it, only one more state.
struct Reset: MitigationMethod {
  static let name = "reset"

  /// n; nil to act on alarms.
  var every: Int?
  /// w, the least age of what takes a state's place; nil for the trained length.
  var kept: Int?
  var fade: Int?
  var grid: Int?

  init(every: Int?, kept: Int?, fade: Int?, grid: Int?) {
    (self.every, self.kept, self.fade, self.grid) = (every, kept, fade, grid)
  }

  init(_ settings: inout MitigationSettings) throws {
    self.init(
      every: try settings.tokens("every"), kept: try settings.tokens("keep"), fade: try settings.tokens("fade"),
      grid: try settings.tokens("grid"))
  }

  var settings: [(key: String, value: String)] {
    [("every", every), ("keep", kept), ("fade", fade), ("grid", grid)].compactMap { key, value in
      value.map { (key, $0.description) }
    }
  }

  func apply(to plan: inout MitigationPlan) throws {
    let layers = try plan.recurrentLayers(betweenTokens: true)
    if let every {
      let kept = kept ?? every
      let grid = grid ?? min(StaggeredSwap.grid(dividing: every), StaggeredSwap.grid(dividing: kept == 0 ? every : kept))
      let fade = fade ?? StaggeredSwap.fade(of: kept, grid: grid)
      try plan.hold(grid: grid, [("every", every), ("keep", kept), ("fade", fade)])
      guard every > 0, kept <= every, fade < max(1, kept) else {
        throw plan.refusal("every must be more than 0, keep at most that, and fade less than keep")
      }
      try plan.addShadows(layers)
      return plan.add(StaggeredSwap(layers: layers, grid: grid, period: every, kept: kept, fade: fade))
    }
    let trained = try plan.requireTrainedLength()
    let grid = grid ?? kept.map { StaggeredSwap.grid(dividing: $0) } ?? Self.grid(for: trained)
    let kept = kept ?? max(grid, (trained + grid - 1) / max(1, grid) * grid)
    let fade = fade ?? StaggeredSwap.fade(of: kept, grid: grid)
    try plan.hold(grid: grid, [("keep", kept), ("fade", fade)])
    guard kept > 0, fade < kept else { throw plan.refusal("keep must be more than 0 and fade") }
    try plan.addShadows(layers)
    plan.add(AlarmReset(swap: HeadSwap(layers: layers, kept: kept, fade: fade, grid: grid, in: &plan)))
  }

  /// A grid that acts a few times within the trained length.
  static func grid(for trainedLength: Int) -> Int {
    var grid = LanguageModel.grid
    while grid > 16, grid * 4 > trainedLength { grid /= 2 }
    return grid
  }
}

extension Mitigation {
  /// All heads forget what is older than `keeping` tokens, every `tokens` tokens; 0 begins anew, as a baseline.
  public static func reset(every tokens: Int, keeping: Int? = nil, fade: Int? = nil, grid: Int? = nil) -> Mitigation {
    Mitigation(Reset(every: tokens, kept: keeping, fade: fade, grid: grid))
  }

  /// A head for which the gauge raises an alarm forgets what is older than `keeping` to 2 · `keeping` tokens, by
  /// default the trained length; the others keep their memory.
  public static func resetOnAlarm(keeping: Int? = nil, fade: Int? = nil, grid: Int? = nil) -> Mitigation {
    Mitigation(Reset(every: nil, kept: keeping, fade: fade, grid: grid))
  }
}

/// Swaps single heads for their shadow once they ask for it. The shadow begins anew every 2w tokens, so a head waits
/// until it is at least w old: up to w tokens.
struct HeadSwap: Sendable {
  let layers: [Int]
  /// w
  let kept: Int
  let fade: Int
  let grid: Int
  /// Per layer 3 × H: the steps that a head still waits for (0: none), how often it was swapped, and after which token
  /// last.
  private let regions: [Int: StateRegion]

  init(layers: [Int], kept: Int, fade: Int, grid: Int, in plan: inout MitigationPlan) {
    (self.layers, self.kept, self.fade, self.grid) = (layers, kept, fade, grid)
    var regions: [Int: StateRegion] = [:]
    for layer in layers { regions[layer] = plan.region("reset", layer: layer, [3, plan.layers[layer].count], .f64) }
    self.regions = regions
  }

  /// A step more than a fade has is a head that waits for it to begin.
  private var waiting: Double { Double(fade / grid + 2) }

  /// Asks for a swap of `head`, unless one is under way.
  func ask(_ head: Int, of layer: Int, _ state: ModelState) {
    guard let heads = regions[layer].map({ state.doubles($0) }), heads[head] == 0 else { return }
    heads[head] = waiting
  }

  /// - Parameter since: the token since which the shadow has moved.
  func act(_ moment: GridMoment, layer: Int, since: Int64 = 0) {
    guard let headed = moment.headed(layer), let shadow = moment.shadow(layer), let region = regions[layer] else { return }
    let values = moment.state.doubles(region)
    let period = Int64(2 * kept)
    let isEnd = moment.position % period == 0
    let age = isEnd ? Int(period) : Int(moment.position % period)
    for head in 0..<headed.heads where values[head] > 0 {
      if values[head] == waiting {
        guard min(Int64(age), moment.position - since) >= Int64(kept), age + fade <= Int(period) else { continue }
        values[head] -= 1
      }
      moment.blend(head, of: headed, with: shadow, share: 1 / values[head])
      values[head] -= 1
      guard values[head] == 0 else { continue }
      values[headed.heads + head] += 1
      values[2 * headed.heads + head] = Double(moment.position)
    }
    if isEnd { shadow.fill(0) }
  }

  /// How often each head was swapped, and after which token last.
  func report(_ state: ModelState) -> [String] {
    layers.flatMap { layer -> [String] in
      guard let values = regions[layer].map({ state.doubles($0) }) else { return [] }
      let heads = values.count / 3
      return (0..<heads).filter { values[heads + $0] > 0 }.map { head in
        let times = values[heads + head].count
        return "layer \(layer), head \(head) was swapped \(times == 1 ? "once" : "\(times) times"), last after token "
          + "\(values[2 * heads + head].count)"
      }
    }
  }
}

/// Heads are swapped on the gauge's alarm.
private struct AlarmReset: MitigationAction {
  let swap: HeadSwap
  var grid: Int { swap.grid }
  var replacesStates: Bool { true }

  func act(_ moment: GridMoment) {
    for layer in swap.layers {
      for (head, reading) in moment.readings(layer).enumerated() where reading.alarm {
        swap.ask(head, of: layer, moment.state)
      }
      swap.act(moment, layer: layer)
    }
  }

  func report(_ state: ModelState) -> [String] { swap.report(state) }
}
