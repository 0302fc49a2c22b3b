import MeanderErrors
import MeanderFiles
import MeanderKernels
import MeanderModels
import Synchronization

/// Models of long convolutions made into recurrent ones: each channel's filter becomes a sum of a few modes (Massaroli and others
/// 2023, Laughing Hyena), so that a stream needs a small state of one size and no transforms.
public enum Distillation {
  /// How close is close enough.
  public struct Options: Sendable, Hashable {
    /// A channel's order is the smallest whose next Hankel singular value is below this share of the first.
    public var tolerance = 1e-3
    /// No channel has a larger order.
    public var largestOrder = 48

    /// A thousandth, and 48 at most.
    public init() {}
  }

  /// What became of one channel's filter.
  public struct Channel: Sendable, Hashable {
    /// The layer and the filter's stage within it, counted from 0.
    public let layer: Int
    /// Which of the layer's filters.
    public let stage: Int
    /// The channel within its stage.
    public let channel: Int
    /// How many singular values were worth having, and how many modes came of them: a pair of poles is one mode.
    public let order: Int
    /// Modes with a residue that is not zero.
    public let modes: Int
    /// The singular value after the last that was taken, over the first: no filter of this order is nearer than that.
    public let remainder: Double
    /// RMS(difference) / RMS(filter) over the filter's whole length.
    public let error: Double
    /// The largest difference over the largest tap.
    public let largestError: Double
  }

  /// Writes the distilled model as a folder: `config.json`, `model.safetensors`, `distillation.json`, and the tokenizer's files.
  ///
  /// - Parameters:
  ///   - model: what `Model.load` takes; its `model_type` must be `hyena`.
  ///   - threads: how many filters are worked on at a time.
  ///   - progress: told of the part that is done, from 0 to 1.
  /// - Returns: every channel, in the order of layers, stages and channels.
  /// - Throws: `badRequest` for options out of range, `unsupported` for another architecture, `badData` and `inputOutput` as
  ///   `Model.load` does.
  public static func write(
    _ model: String, to folder: String, _ options: Options = Options(), threads: Int = 1,
    progress: @escaping @Sendable (Double) throws -> Void = { _ in }
  ) throws -> [Channel] {
    guard (1e-9...1).contains(options.tolerance), (1...256).contains(options.largestOrder) else {
      throw MeanderError(
        .badRequest, "modes cannot be chosen so", at: "tolerance \(options.tolerance), order \(options.largestOrder)",
        remedy: "Give a tolerance from 1e-9 to 1 and a largest order from 1 to 256.")
    }
    let files = try ModelFiles.resolve(model)
    let file = try files.requiredFile("config.json")
    let json = try JSON.parse(file)
    guard Hyena.recognizes(json) else {
      throw MeanderError(
        .unsupported, "this is no model of long convolutions, whose model_type is hyena", at: file.path,
        remedy: "Recurrent models stream as they are.")
    }
    var configuration = try Configuration(json, file: file.path)
    let hyena = try Hyena(&configuration)
    try configuration.finish()
    let store = try TensorStore.open(files)
    let blocks = try WeightReader.build(from: store, table: .best, compute: .fp32) { try hyena.build(from: $0) }.model
    let fits = try fit(blocks, options, WorkerTeam(threads: threads), progress)
    try Folder.make(folder)
    try write(fits, of: hyena, json, store, to: folder)
    for name in ["tokenizer.json", "tokenizer_config.json", "generation_config.json", "tokenizer.model"] {
      guard let file = try files.file(name) else { continue }
      try AtomicFile.write("\(folder)/\(name)", mode: 0o644, bytes: file.copy())
    }
    let channels = fits.flatMap { layer in layer.fits.enumerated().map { layer.channel($0.offset, $0.element) } }
    try AtomicFile.write(
      "\(folder)/distillation.json", mode: 0o644, bytes: report(channels, of: model, options).write() + [0x0a])
    return channels
  }

  /// One layer's fits, all stages' channels one after the other.
  private struct Layer {
    let layer, width: Int
    var fits: [ModalFit] = []
    /// The modes that each channel is given room for.
    var modes: Int { max(1, fits.reduce(0) { max($0, $1.poles.count) }) }

    func channel(_ index: Int, _ fit: ModalFit) -> Channel {
      let next = fit.order < fit.singular.count ? fit.singular[fit.order] : 0
      return Channel(
        layer: layer, stage: index / width, channel: index % width, order: fit.order, modes: fit.poles.count,
        remainder: fit.singular.first.map { next / $0 } ?? 0, error: fit.error, largestError: fit.largestError)
    }
  }

  private static func fit(
    _ blocks: Blocks, _ options: Options, _ team: WorkerTeam, _ progress: @Sendable (Double) throws -> Void
  ) throws -> [Layer] {
    let filters = blocks.steps.compactMap { step in
      ((step.mixer as? HyenaMixer)?.filter as? FourierFilter).map { (step.layer, $0) }
    }
    let kernels = Kernels(table: .best, team: team, compute: .fp32)
    var layers: [Layer] = []
    for (number, (layer, filter)) in filters.enumerated() {
      let lags = filter.lags(filter.tiling.length, kernels)
      let count = filter.stages * filter.channels
      let found = Mutex<[Int: ModalFit]>([:])
      let failure = Mutex<(any Error)?>(nil)
      // In groups, so that somebody is told how far it is.
      for start in stride(from: 0, to: count, by: 4 * team.threads) {
        let group = start..<min(count, start + 4 * team.threads)
        team.run(group.count) { index in
          do {
            let channel = group.lowerBound + index
            let taps = lags.columns(channel..<channel + 1).array()
            let fit = try ModalFit(
              Array(taps.prefix(filter.tiling.length)), tolerance: options.tolerance, largest: options.largestOrder)
            found.withLock { $0[channel] = fit }
          } catch { failure.withLock { $0 = error } }
        }
        if let error = failure.withLock({ $0 }) { throw error }
        try progress((Double(number) + Double(group.upperBound) / Double(count)) / Double(filters.count))
      }
      let all = found.withLock { found in (0..<count).compactMap { found[$0] } }
      layers.append(Layer(layer: layer, width: filter.channels, fits: all))
    }
    return layers
  }

  private static func write(
    _ fits: [Layer], of hyena: Hyena, _ json: JSON, _ store: TensorStore, to folder: String
  ) throws {
    var writer = SafeTensorsWriter()
    writer.metadata = store.metadata
    for entry in store.entries.values.sorted(by: { $0.name < $1.name }) where !entry.name.contains(".mixer.filter.") {
      try writer.add(entry.name, entry.type, entry.shape, bytes: try store.bytes(entry.name))
    }
    for layer in fits {
      let (modes, count) = (layer.modes, layer.fits.count)
      func table(_ numbers: (ModalFit) -> [(real: Float, imaginary: Float)]) -> [Float] {
        var values = [Float](repeating: 0, count: 2 * modes * count)
        for (channel, fit) in layer.fits.enumerated() {
          for (mode, number) in numbers(fit).enumerated() {
            values[2 * mode * count + channel] = number.real
            values[(2 * mode + 1) * count + channel] = number.imaginary
          }
        }
        return values
      }
      let prefix = "model.layers.\(layer.layer).mixer.filter."
      try writer.add(prefix + "poles", [2 * modes, count], floats: table(\.poles))
      try writer.add(prefix + "residues", [2 * modes, count], floats: table(\.residues))
      try writer.add(prefix + "direct", [count], floats: layer.fits.map(\.direct))
    }
    try writer.write(to: "\(folder)/model.safetensors", mode: 0o644)
    let modes = (0..<hyena.shape.layers).map { layer in fits.first { $0.layer == layer }?.modes ?? 0 }
    var members = (json.object?.members ?? []).filter { $0.key != "filter" && !$0.key.hasPrefix("filter_") }
      .map { ($0.key, $0.key == "model_type" ? .string(HyenaModal.name) : $0.value) }
    members.append(("filter_modes", .array(modes.map { JSON($0) })))
    try AtomicFile.write("\(folder)/config.json", mode: 0o644, bytes: JSON(members).write() + [0x0a])
  }

  private static func report(_ channels: [Channel], of model: String, _ options: Options) -> JSON {
    JSON([
      ("model", .string(model)), ("tolerance", JSON(options.tolerance)), ("largest_order", JSON(options.largestOrder)),
      (
        "channels",
        .array(
          channels.map {
            JSON([
              ("layer", JSON($0.layer)), ("stage", JSON($0.stage)), ("channel", JSON($0.channel)), ("order", JSON($0.order)),
              ("modes", JSON($0.modes)), ("remainder", JSON($0.remainder)), ("error", JSON($0.error)),
              ("largest_error", JSON($0.largestError)),
            ])
          })
      ),
    ])
  }
}
