import MeanderErrors
import MeanderFiles
import MeanderKernels

/// The mitigations in force on one model: what they set for each head, and what they do between tokens.
package struct MitigationPlan: Sendable {
  /// How exactly the sums of the past are kept.
  package private(set) var precision = StatePrecision.fp32
  /// Per layer, what fp32 cannot hold of its state, where that is kept and not the mixer's own affair.
  private(set) var rests: [StateRegion?] = []
  /// In the registry's order, whatever the one in which they were given: it changes nothing.
  package private(set) var mitigations: [Mitigation] = []
  /// Per layer and head; empty where nothing is local to a token.
  private(set) var gates: [[GateTransform]] = []
  private(set) var actions: [any MitigationAction] = []
  /// Per layer, the second state that moves beside its own, and the factors of its folds.
  private(set) var shadows: [StateRegion?] = []
  private(set) var factors: [StateRegion?] = []
  /// The model's state with what mitigations add to it.
  package private(set) var layout: StateLayout
  /// Tokens between the places at which something may act: the finest grid of all actions.
  private(set) var grid = LanguageModel.grid

  package let layers: [MixerGating]
  package let trainedLength: Int?
  package let fingerprint: String
  private let modelName: String
  private var shadowOwner: String?
  private var current = ""

  init(plain layout: StateLayout, layers: [MixerGating], facts: ModelFacts, fingerprint: String) {
    self.layout = layout
    self.layers = layers
    trainedLength = facts.intent.trainedLength
    modelName = facts.name
    self.fingerprint = fingerprint
  }

  /// Adds all of `mitigations`, each of which may stand once.
  mutating func add(_ mitigations: [Mitigation]) throws {
    for mitigation in mitigations {
      guard !self.mitigations.contains(where: { $0.name == mitigation.name }) else {
        throw MeanderError(.badRequest, "\(mitigation.name) is given twice", at: "--mitigation \(mitigation)")
      }
      if let other = mitigation.fingerprint, other != fingerprint {
        throw MeanderError(
          .mismatch, "it was calibrated for a model with fingerprint \(other), and \(modelName) has \(fingerprint)",
          at: "--mitigation \(mitigation)", remedy: "Calibrate it for this model: meander calibrate.")
      }
      current = mitigation.description
      try mitigation.method.apply(to: &self)
      self.mitigations.append(mitigation)
    }
    let order = Mitigation.names
    self.mitigations.sort { order.firstIndex(of: $0.name) ?? 0 < order.firstIndex(of: $1.name) ?? 0 }
    // What replaces a state comes before what is done to it.
    actions = actions.filter(\.replacesStates) + actions.filter { !$0.replacesStates }
  }
}

extension MitigationPlan {
  /// Says how exactly sums are kept. Throws `.unsupported` where none could be kept so.
  mutating func keep(_ precision: StatePrecision) throws {
    self.precision = precision
    guard precision == .compensated else { return }
    rests = layers.indices.map { layer in
      guard case .heads = layers[layer] else { return nil }
      return region("ssm_rest", layer: layer, shape(layer), role: .rest)
    }
    guard layout.regions.contains(where: { $0.role == .rest }) else {
      throw MeanderError(
        .unsupported, "model \(modelName) has no sums that are compensated: those of Mamba and RG-LRU, of Mamba-2 and of RWKV-4 are",
        at: "--state compensated")
    }
  }

  /// The error for a setting out of range.
  func refusal(_ what: String, remedy: String? = nil) -> MeanderError {
    MeanderError(.badRequest, what, at: "--mitigation \(current)", remedy: remedy)
  }

  /// Throws unless `value` lies in `range`.
  func hold(_ key: String, _ value: Double, in range: ClosedRange<Double>) throws {
    guard range.contains(value) else {
      throw refusal("\(key) is \(value) and must lie from \(range.lowerBound) to \(range.upperBound)")
    }
  }

  /// Throws unless `values` have the model's shape and lie in `range`.
  func hold(_ key: String, _ values: HeadValues, in range: ClosedRange<Double>) throws {
    let fits = (values.rows.count == 1 || values.rows.count == layers.count)
      && values.rows.enumerated().allSatisfy { layer, row in
        row.count == 1 || (values.rows.count == layers.count && row.count == layers[layer].count)
      }
    guard fits else { throw refusal("\(key) has values for other layers or heads than the model's") }
    for value in values.rows.joined() { try hold(key, value, in: range) }
  }

  /// The layers that a mitigation is to act on. Throws `.unsupported` where one with a recurrent state cannot take it.
  ///
  /// - Parameter betweenTokens: whether it acts on heads' states between tokens.
  func recurrentLayers(betweenTokens: Bool) throws -> [Int] {
    let found = try layers.indices.filter { layer in
      switch layers[layer] {
      case .none: return false
      case .heads: return true
      case .channels where !betweenTokens: return true
      case .channels: throw unsupported(layer, "its entries decay each by itself, so it has no heads to act on")
      case .fixed(let reason): throw unsupported(layer, reason)
      case .states(_, _, _, let reason):
        let exchanges = current.hasPrefix("window") && (try? exchangeableLayers()) != nil
        throw unsupported(layer, reason, remedy: exchanges ? "Its form=staggered exchanges whole states, and works here." : nil)
      }
    }
    if found.isEmpty { throw unsupported(nil, "it has no recurrent state") }
    return found
  }

  /// The layers whose states can be exchanged for others that took in the same tokens. Throws `.unsupported` where a recurrent
  /// one's cannot.
  func exchangeableLayers() throws -> [Int] {
    let found = try layers.indices.filter { layer in
      switch layers[layer] {
      case .none: return false
      case .heads, .states: return true
      case .channels: throw unsupported(layer, "its entries decay each by itself, so it has no heads to act on")
      case .fixed(let reason): throw unsupported(layer, reason)
      }
    }
    if found.isEmpty { throw unsupported(nil, "it has no recurrent state") }
    return found
  }

  func unsupported(_ layer: Int?, _ reason: String, remedy: String? = nil) -> MeanderError {
    MeanderError(
      .unsupported, "model \(modelName) cannot take it: \(layer.map { "in layer \($0) " } ?? "")\(reason)",
      at: "--mitigation \(current)", remedy: remedy)
  }

  /// The trained length, which some mitigations cannot do without.
  func requireTrainedLength() throws -> Int {
    if let trainedLength { return trainedLength }
    throw MeanderError(
      .unsupported, "the gauge raises no alarm, because model \(modelName) does not say on what length it was trained",
      at: "--mitigation \(current)",
      remedy: #"Write "meander": {"trained_length": 2048}, or what it is, into its config.json."#)
  }

  /// Changes the transforms of every head that takes one.
  mutating func transform(_ body: (_ gate: inout GateTransform, _ layer: Int, _ head: Int) -> Void) throws {
    let recurrent = try recurrentLayers(betweenTokens: false)
    if gates.isEmpty { gates = layers.map { [GateTransform](repeating: .identity, count: $0.count) } }
    for layer in recurrent {
      for head in gates[layer].indices { body(&gates[layer][head], layer, head) }
    }
  }

  /// Adds a region to the state: `layers.3.` and its own name.
  mutating func region(
    _ name: String, layer: Int, _ shape: [Int], _ type: ElementType = .f32, role: StateRegion.Role = .other
  ) -> StateRegion {
    layout.append("layers.\(layer).\(name)", type, shape, role: role)
  }

  /// H, N and P of a layer of heads.
  func shape(_ layer: Int) -> [Int] {
    switch layers[layer] {
    case .heads(let rates, let size, let width): return [rates.count, size, width]
    case .states(let heads, let size, let width, _): return [heads, size, width]
    case .none, .fixed, .channels: return [0, 0, 0]
    }
  }

  /// Gives each of `layers` a shadow state. There is one, so those that need it exclude each other.
  mutating func addShadows(_ layers: [Int], withFactors: Bool = false) throws {
    if let shadowOwner {
      throw refusal("\(shadowOwner) already keeps a second state", remedy: "Give one of window, reset and auto.")
    }
    shadowOwner = current
    shadows = [StateRegion?](repeating: nil, count: self.layers.count)
    factors = shadows
    for layer in layers {
      shadows[layer] = region("shadow", layer: layer, shape(layer), role: .recurrence)
      if withFactors { factors[layer] = region("factors", layer: layer, [self.layers[layer].count], .f64) }
    }
  }

  /// Throws unless `grid` is a power of two from 16 to 512, and each of `lengths` a multiple of it.
  func hold(grid: Int, _ lengths: [(key: String, tokens: Int)]) throws {
    guard (16...LanguageModel.grid).contains(grid), grid & (grid - 1) == 0 else {
      throw refusal("grid is \(grid) and must be a power of two from 16 to \(LanguageModel.grid)")
    }
    for (key, tokens) in lengths {
      guard tokens >= 0, tokens % grid == 0, tokens <= 1 << 40 else {
        throw refusal("\(key) is \(tokens) and must be a multiple of the grid, \(grid)")
      }
    }
  }

  mutating func add(_ action: any MitigationAction) {
    actions.append(action)
    grid = min(grid, action.grid)
  }
}

/// What a mitigation does while a state moves.
package protocol MitigationAction: Sendable {
  /// c: it acts where the position is a multiple of it. A power of two, at most `LanguageModel.grid`.
  var grid: Int { get }

  /// Whether it puts other states in the place of a layer's own: such actions come first.
  var replacesStates: Bool { get }

  /// Changes the gates of the tokens from the state's position to the next multiple of the grid.
  func adjust(_ gates: inout [[GateTransform]], at state: ModelState)

  /// Whether the shadow of `layer` has to move with the next tokens.
  func needsShadow(_ layer: Int, at state: ModelState) -> Bool

  /// Acts on the state at a multiple of its grid.
  func act(_ moment: GridMoment)

  /// What it has done to `state` so far, a sentence each; empty where there is nothing to tell.
  func report(_ state: ModelState) -> [String]
}

extension MitigationAction {
  package var grid: Int { LanguageModel.grid }
  package var replacesStates: Bool { false }
  package func adjust(_ gates: inout [[GateTransform]], at state: ModelState) {}
  package func needsShadow(_ layer: Int, at state: ModelState) -> Bool { true }
  package func act(_ moment: GridMoment) {}
  package func report(_ state: ModelState) -> [String] { [] }
}
