import MeanderFiles
import MeanderKernels

/// The gauge decides, per head: nothing until it raises an alarm, then the mildest cure that holds.
///
/// 1. *cap*: on the grid, the head's norm is brought back to `factor` times the largest it had within the trained
///    length T.
/// 2. *decay*: also, each token keeps e^(-1/T) of the state, so that what is older than a few T is forgotten.
/// 3. *reset*: also, the head is swapped for a state begun T to 2T tokens earlier, whenever it outgrows its cap again.
///
/// A cure holds while the norm, read before each cap, stays within twice its trained maximum; where it does not for
/// `patience` cells of the grid in a row, the next one is added. Before a first alarm nothing at all is changed, to the
/// bit.
struct Automatic: MitigationMethod {
  static let name = "auto"

  var factor: Double
  var patience: Int
  var grid: Int?

  init(factor: Double, patience: Int, grid: Int?) { (self.factor, self.patience, self.grid) = (factor, patience, grid) }

  init(_ settings: inout MitigationSettings) throws {
    factor = try settings.number("factor") ?? 1
    patience = try settings.tokens("patience") ?? 4
    grid = try settings.tokens("grid")
  }

  var settings: [(key: String, value: String)] {
    [("factor", factor.description), ("patience", patience.description)]
      + (grid.map { [("grid", $0.description)] } ?? [])
  }

  func apply(to plan: inout MitigationPlan) throws {
    let layers = try plan.recurrentLayers(betweenTokens: true)
    let trained = try plan.requireTrainedLength()
    let grid = grid ?? Reset.grid(for: trained)
    try plan.hold(grid: grid, [])
    try plan.hold("factor", factor, in: 0.001...2)
    try plan.hold("patience", Double(patience), in: 1...1_000_000)
    let kept = max(grid, (trained + grid - 1) / grid * grid)
    try plan.addShadows(layers)
    let swap = HeadSwap(layers: layers, kept: kept, fade: StaggeredSwap.fade(of: kept, grid: grid), grid: grid, in: &plan)
    var regions: [Int: StateRegion] = [:]
    for layer in layers { regions[layer] = plan.region("auto", layer: layer, [5, plan.layers[layer].count], .f64) }
    plan.add(
      AutomaticCure(
        swap: swap, regions: regions, counts: plan.layers.map(\.count), factor: factor, patience: Double(patience),
        logRetention: -1 / Double(trained)))
  }
}

extension Mitigation {
  /// Nothing until the gauge raises an alarm for a head, then the mildest cure that holds.
  public static var automatic: Mitigation { Mitigation(Automatic(factor: 1, patience: 4, grid: nil)) }
}

private struct AutomaticCure: MitigationAction {
  let swap: HeadSwap
  /// Per layer 5 × H: the cure in force, for how many cells in a row it has not held, and after which token each of the
  /// three began.
  let regions: [Int: StateRegion]
  /// How many transforms each layer takes.
  let counts: [Int]
  let factor: Double
  let patience: Double
  let logRetention: Double

  /// The cures in force, the mildest first.
  private enum Cure: Int, Comparable {
    case none, cap, decay, reset

    static func < (a: Cure, b: Cure) -> Bool { a.rawValue < b.rawValue }
    /// What a state's region says, whatever a damaged file put there.
    init(_ value: Double) { self = value >= 3 ? .reset : value >= 2 ? .decay : value >= 1 ? .cap : .none }
    var next: Cure { Cure(Double(rawValue + 1)) }
  }

  var grid: Int { swap.grid }
  var replacesStates: Bool { true }

  func needsShadow(_ layer: Int, at state: ModelState) -> Bool { strongest(layer, state) >= .decay }

  private func strongest(_ layer: Int, _ state: ModelState) -> Cure {
    guard let values = regions[layer].map({ state.doubles($0) }) else { return .none }
    return (0..<counts[layer]).reduce(.none) { max($0, Cure(values[$1])) }
  }

  /// After which token the shadow of a layer began to move: with the first head whose cap did not hold.
  private func shadowBegan(_ layer: Int, _ state: ModelState) -> Int64? {
    guard let values = regions[layer].map({ state.doubles($0) }) else { return nil }
    let heads = counts[layer]
    return (0..<heads).filter { Cure(values[$0]) >= .decay }.map { values[3 * heads + $0].count }.min()
  }

  func adjust(_ gates: inout [[GateTransform]], at state: ModelState) {
    for layer in swap.layers where strongest(layer, state) >= .decay {
      guard let values = regions[layer].map({ state.doubles($0) }) else { continue }
      if gates.isEmpty { gates = counts.map { [GateTransform](repeating: .identity, count: $0) } }
      for head in 0..<counts[layer] where Cure(values[head]) >= .decay { gates[layer][head].logRetention += logRetention }
    }
  }

  func act(_ moment: GridMoment) {
    for layer in swap.layers {
      guard let headed = moment.headed(layer), let region = regions[layer] else { continue }
      let values = moment.state.doubles(region)
      var readings = moment.readings(layer)
      for (head, reading) in readings.enumerated() { judge(head, of: layer, reading, values, moment) }
      if let since = shadowBegan(layer, moment.state) {
        swap.act(moment, layer: layer, since: since)
        readings = moment.readings(layer)
      }
      for (head, reading) in readings.enumerated() where Cure(values[head]) >= .cap {
        let cap = factor * moment.trainedNorm(layer, head)
        if reading.norm > cap { moment.scale(head, of: headed, by: cap / reading.norm) }
      }
    }
  }

  /// Begins a cure, or adds the next one where those in force do not hold.
  private func judge(_ head: Int, of layer: Int, _ reading: HeadReading, _ values: Doubles, _ moment: GridMoment) {
    let heads = counts[layer]
    guard reading.alarm else {
      values[heads + head] = 0
      return
    }
    let cure = Cure(values[head])
    values[heads + head] += 1
    if cure == .none || (cure < .reset && values[heads + head] >= patience) {
      values[head] = Double(cure.next.rawValue)
      values[heads + head] = 0
      values[(1 + cure.next.rawValue) * heads + head] = Double(moment.position)
    } else if cure == .reset {
      swap.ask(head, of: layer, moment.state)
    }
  }

  func report(_ state: ModelState) -> [String] {
    let names = ["its norm was capped", "its decay was quickened", "it is reset"]
    return swap.layers.flatMap { layer -> [String] in
      guard let values = regions[layer].map({ state.doubles($0) }) else { return [] }
      let heads = counts[layer]
      return (0..<heads).filter { Cure(values[$0]) > .none }.map { head in
        let steps = (0..<Cure(values[head]).rawValue).map {
          "\(names[$0]) from token \(values[(2 + $0) * heads + head].count)"
        }
        return "layer \(layer), head \(head): " + steps.joined(separator: ", ")
      }
    } + swap.report(state)
  }
}
