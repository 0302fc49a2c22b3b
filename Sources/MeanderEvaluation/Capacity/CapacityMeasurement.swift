import Meander
import MeanderErrors
import MeanderFiles
import MeanderModels
import MeanderTasks
import MeanderTraining

/// `lab capacity`: how much a state can hold, and from which training length on it learns to forget (Stuffed Mamba's
/// experiment).
///
/// Models of growing state are trained on text with pass keys mixed in, each over longer and longer training lengths.
/// T_forget is the shortest training length from which the loss up to the longest position stays below twice the
/// largest within the training length, or below five quarters of it. T_recall is the longest context, on a grid of quarter octaves, before the first
/// at which fewer than 95 % of keys are given back, at the longest training length.
package struct CapacityMeasurement: Measurement {
  package static let name = "capacity"

  package let plan: CapacityPlan
  package let text: [String]
  package let heldOut: TextFiller
  package let heldOutName: String
  /// Where models and checkpoints are kept.
  package let work: String
  private let models: [CapacityModel]

  package init(plan: CapacityPlan, text: [String], heldOut: TextFiller, heldOutName: String, work: String) throws {
    guard plan.streams * plan.longest <= heldOut.byteCount else {
      throw MeanderError(
        .badRequest,
        "\(plan.streams) streams of \(plan.longest) bytes are more than the \(heldOut.byteCount) bytes held out",
        at: heldOutName, remedy: "Give more held-out text.")
    }
    let longest = plan.trained.max() ?? 0
    guard (plan.pairs.max() ?? 1) * 4 <= longest, plan.pairs.allSatisfy({ (1...127).contains($0) }) else {
      throw MeanderError(
        .badRequest, "pairs must be 1 to 127, and four times as many bytes fit into the longest training length",
        remedy: "Ask for fewer pairs, or train over longer lengths.")
    }
    // Every model once before any a second time: a run that was stopped says something of all sizes.
    models = try (1...max(1, plan.seeds)).flatMap { seed in
      try plan.mixers.flatMap { mixer in
        try plan.sizes.map { CapacityModel(mixer: mixer, size: $0, model: try $0.model(mixer), seed: seed) }
      }
    }
    self.plan = plan
    self.text = text
    self.heldOut = heldOut
    self.heldOutName = heldOutName
    self.work = work
  }

  package var title: String { "Capacity: forgetting and recall by size of the state" }
  package var settings: [(String, JSON)] {
    [
      ("text", JSON(text)), ("held_out", .string(heldOutName)),
      ("trained_lengths", .array(plan.trained.map { JSON($0) })),
      ("tokens_by_length", .array(plan.trained.indices.map { JSON(plan.tokens(at: $0)) })), ("longest", JSON(plan.longest)),
      ("streams", JSON(plan.streams)),
      ("keys_a_length", JSON(plan.samples)), ("length_unit", .string("bytes")),
    ] + (plan.pairs.isEmpty ? [] : [("pairs", .array(plan.pairs.map { JSON($0) }))])
  }

  package var units: [MeasurementUnit] {
    models.map { MeasurementUnit("\($0.name)/\($0.seed)", bytes: plan.allTokens) }
  }

  package func measure(_ unit: Int, on stream: LabStream) async throws -> JSON {
    let model = models[unit]
    let clock = ContinuousClock()
    var (tokens, seconds) = (0, 0.0)
    var stages: [JSON] = []
    var recall: (length: Int, rows: [JSON]) = (0, [])
    var pairs: [JSON] = []
    var before: String?
    let engine = try Engine(threads: 1)
    for (index, length) in plan.trained.enumerated() {
      let folder = "\(work)/\(model.name)-\(model.seed)/\(length)"
      if FileStatus("\(folder)/model.safetensors") == nil {
        let recipe = plan.recipe(
          model.model, length: index, seed: model.seed + Int(clamping: stream.seed), text: text, start: before,
          output: folder)
        try await LabTraining.run(Recipe(recipe, path: "recipe.json"), meter: stream.meter)
      }
      before = folder
      let trained = try TrainingRun.totals(of: folder)
      tokens += trained.tokens
      seconds += trained.seconds
      let start = clock.now
      let own = LabStream(LabSubject([try await Model.load(folder, engine: engine)]), seed: stream.seed)
      // Within the training length as much text again as streams have beyond it: a few short beginnings say little.
      let inside = try await loss(own, streams: max(1, min(plan.windows, heldOut.byteCount / length)), length: length)
      stages.append(Self.stage(inside, try await loss(own, streams: plan.streams, length: plan.longest), trained: length))
      if length == plan.trained.last { (recall, pairs) = (try await self.recall(own), try await self.pairs(own)) }
      seconds += (clock.now - start) / .seconds(1)
    }
    var members: [(String, JSON)] = [
      ("state_floats", JSON(model.model.stateFloats)), ("seed", JSON(model.seed)), ("stages", .array(stages)),
      ("recall", JSON(recall.length)),
      ("recall_is_censored", .bool(recall.length == plan.recallLengths.last)), ("recall_rows", .array(recall.rows)),
      ("tokens", JSON(tokens)), ("seconds", JSON((seconds * 10).rounded() / 10)), ("mixer", .string(model.mixer)),
      ("width", JSON(model.size.width)), ("state_size", JSON(model.size.state)), ("parameters", JSON(model.model.parameters)),
    ]
    if !plan.pairs.isEmpty { members.append(("pair_rows", .array(pairs))) }
    return JSON(members)
  }

  /// Streams of held-out text.
  private func loss(_ stream: LabStream, streams: Int, length: Int) async throws -> [StreamLoss] {
    let measurement = try LossMeasurement(
      text: heldOut, textName: heldOutName, streams: streams, length: length, readings: [.carried])
    var losses: [StreamLoss] = []
    for unit in 0..<streams {
      if let loss = StreamLoss(try await measurement.measure(unit, on: stream)) { losses.append(loss) }
    }
    return losses
  }

  /// The largest loss within the training length against the largest beyond it.
  private static func stage(_ windows: [StreamLoss], _ streams: [StreamLoss], trained: Int) -> JSON {
    let within = means(windows)
    let beyond = means(streams)
    let inside = within.max() ?? 0
    let outside = beyond.indices.filter { StreamLoss.end($0) > trained }.map { beyond[$0] }.max() ?? 0
    return JSON([
      ("trained", JSON(trained)), ("inside", JSON(inside)), ("outside", JSON(outside)), ("ratio", JSON(outside / max(1e-9, inside))),
      ("loss_within", .array(within.map { JSON($0) })), ("loss", .array(beyond.map { JSON($0) })),
    ])
  }

  /// Bits a byte in each bucket of positions.
  private static func means(_ losses: [StreamLoss]) -> [Double] {
    (0..<(losses.map(\.bits.count).max() ?? 0)).map { bucket in
      let values = losses.compactMap { $0.bitsPerByte(bucket) }
      return values.reduce(0, +) / Double(max(1, values.count))
    }
  }

  /// The longest length before the first failure, and a row for each that was asked.
  private func recall(_ stream: LabStream) async throws -> (length: Int, rows: [JSON]) {
    var reached = 0
    var rows: [JSON] = []
    for length in plan.recallLengths {
      let measurement = RecallMeasurement(
        series: [RecallSeries("landmark", PasskeyTask(wordings: [.landmark], trailingSpace: 0, opening: 0))],
        lengths: [length],
        samples: plan.samples, depths: .uniform, filler: heldOut)
      var outcomes: [JSON] = []
      for unit in 0..<plan.samples { outcomes.append(try await measurement.measure(unit, on: stream)) }
      let row = JSON(measurement.report(outcomes))["results"]?.array?.first ?? .null
      rows.append(row)
      guard row["accuracy"]?.double ?? 0 > 0.95 else { break }
      reached = length
    }
    return (reached, rows)
  }
}

extension CapacityMeasurement {
  /// Associative recall of each number of pairs: how many values came back, of pairs that stand as densely as they can.
  private func pairs(_ stream: LabStream) async throws -> [JSON] {
    var rows: [JSON] = []
    for count in plan.pairs {
      let measurement = RecallMeasurement(
        series: [RecallSeries("mqar", AssociativeRecall(pairs: count...count), rule: .exact)], lengths: [4 * count],
        samples: plan.samples, depths: .uniform, filler: heldOut)
      var outcomes: [JSON] = []
      for unit in 0..<plan.samples { outcomes.append(try await measurement.measure(unit, on: stream)) }
      let row = JSON(measurement.report(outcomes))["results"]?.array?.first ?? .null
      rows.append(JSON([("pairs", JSON(count)), ("recalled", JSON((row["accuracy"]?.double ?? 0) * Double(count)))]))
    }
    return rows
  }
}

/// A model to be trained and measured.
private struct CapacityModel: Sendable {
  let mixer: String
  let size: CapacityPlan.Size
  let model: SizedModel
  let seed: Int

  var name: String { mixer == "mamba2" ? size.name : "\(mixer)-\(size.name)" }
}
