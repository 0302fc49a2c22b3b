import MeanderErrors
import MeanderFiles
import MeanderTasks

/// `lab cures`: one table of what mitigations do to one model.
///
/// Every variant scores the same windows after more and more of their own past, so that all comparisons are within a
/// window: with the variant itself after its trained length (does it hold?), and with two trivial baselines, the state
/// begun anew every trained length, and the last trained length alone (is the longer past worth anything?). A flat loss
/// alone counts for nothing: forgetting everything is flat too.
package struct CureMeasurement: Measurement {
  package static let name = "cures"

  /// The model under some mitigations.
  package struct Variant: Sendable {
    package let name: String
    package let subject: LabSubject

    package init(_ name: String, _ subject: LabSubject) {
      self.name = name
      self.subject = subject
    }
  }

  /// Nothing done, the state begun anew every `trained` bytes, and then what is compared.
  package let variants: [Variant]
  private let context: ContextMeasurement
  private let recall: RecallMeasurement?

  /// - Parameters:
  ///   - plain: the model with no mitigation.
  ///   - reset: the model under a reset of everything every trained length.
  ///   - trained: the trained length in bytes, a context of its own.
  ///   - recall: pass keys beside the losses; nil where the model was never taught any.
  package init(
    plain: LabSubject, reset: LabSubject, cures: [Variant], text: TextFiller, textName: String, trained: Int,
    contexts: [Int], windows: Int, window: Int, recall: (lengths: [Int], samples: Int, filler: any Filler)?
  ) throws {
    let variants = [Variant("none", plain), Variant("begun anew", reset)] + cures
    guard Set(variants.map(\.name)).count == variants.count else {
      throw MeanderError(.badRequest, "a cure is named twice", at: "--cure")
    }
    self.variants = variants
    context = try ContextMeasurement(
      text: text, textName: textName, contexts: contexts, windows: windows, window: window, baseline: trained)
    self.recall = recall.map {
      RecallMeasurement(
        series: [RecallSeries("landmark", PasskeyTask(wordings: [.landmark], trailingSpace: 0, opening: 0))],
        lengths: $0.lengths, samples: $0.samples, depths: .uniform, filler: $0.filler)
    }
  }

  package var title: String { "The same windows under each cure, by how much was read before" }
  package var settings: [(String, JSON)] {
    context.settings + [("variants", .array(variants.map { .string($0.name) }))]
      + (recall.map { [("keys_at", .array($0.lengths.map { JSON($0) })), ("keys_a_length", JSON($0.samples))] } ?? [])
  }

  private var perVariant: [MeasurementUnit] { context.units + (recall?.units ?? []) }

  package var units: [MeasurementUnit] {
    variants.flatMap { variant in
      perVariant.map { MeasurementUnit("\(variant.name) \($0.name)", bytes: $0.bytes) }
    }
  }

  package func measure(_ unit: Int, on stream: LabStream) async throws -> JSON {
    let subject = variants[unit / perVariant.count].subject
    let own = LabStream(subject, number: stream.number % subject.streams, seed: stream.seed, meter: stream.meter)
    let place = unit % perVariant.count
    if place < context.units.count { return try await context.measure(place, on: own) }
    return try await recall?.measure(place - context.units.count, on: own) ?? .null
  }

  package func report(_ outcomes: [JSON?]) throws -> [(String, JSON)] {
    let parts = variants.indices.map { Array(outcomes[$0 * perVariant.count..<($0 + 1) * perVariant.count]) }
    let losses = parts.map { Array($0.prefix(context.units.count)) }
    var rows: [JSON] = []
    var cures: [JSON] = []
    var keys: [JSON] = []
    var series: [(String, [JSON])] = []
    for (variant, part) in zip(variants, losses) {
      let own = context.contexts.compactMap { row(variant.name, part, $0, against: losses) }
      rows += own
      if let verdict = verdict(variant.name, part, against: losses) { cures.append(verdict) }
      series.append(
        (
          variant.name,
          own.compactMap { row in
            guard let length = row["length"]?.double, let bits = row["bits_per_byte"]?.double else { return nil }
            return ReportPanel.point(length, bits)
          }
        ))
    }
    for (variant, part) in zip(variants, parts) {
      let found = recall.map { JSON($0.report(Array(part.dropFirst(context.units.count)))) }
      for row in found?["results"]?.array ?? [] {
        let kept = ["length", "samples", "accuracy", "low", "high"].map { ($0, row[$0] ?? .null) }
        keys.append(JSON([("series", .string(variant.name))] + kept))
      }
    }
    let panel = ReportPanel(
      title: "bits a byte of the same windows", horizontal: "past, bytes", vertical: "bits a byte",
      isLogarithmic: (true, false), series: series)
    return [
      ("results", .array(rows)), ("cures", .array(cures)), ("keys", .array(keys)),
      ("panels", .array(rows.isEmpty ? [] : [panel.json])),
    ]
  }

  private static func entries(_ name: String, _ difference: MeanInterval?) -> [(String, JSON)] {
    guard let difference else { return [] }
    return [
      (name, JSON(difference.mean)), ("\(name)_low", JSON(difference.interval.lowerBound)),
      ("\(name)_high", JSON(difference.interval.upperBound)),
    ]
  }

  private func row(_ name: String, _ own: [JSON?], _ length: Int, against losses: [[JSON?]]) -> JSON? {
    let values = (0..<context.windows).compactMap { context.bitsPerByte(own, length, $0) }
    if values.isEmpty { return nil }
    let mean = MeanInterval(values)
    let trained = context.baseline
    return JSON(
      [
        ("series", .string(name)), ("length", JSON(length)), ("samples", JSON(values.count)),
        ("bits_per_byte", JSON(mean.mean)), ("low", JSON(max(0, mean.interval.lowerBound))),
        ("high", JSON(mean.interval.upperBound)),
      ] + Self.entries("change", context.difference(own, length, own, trained))
        + Self.entries("against_begun_anew", context.difference(own, length, losses[1], length))
        + Self.entries("against_last_alone", context.difference(own, length, losses[0], trained)))
  }

  /// What a variant does at the longest context, and what it costs within the trained length.
  ///
  /// It beats both baselines where the 95 % intervals of both paired differences lie below zero.
  private func verdict(_ name: String, _ own: [JSON?], against losses: [[JSON?]]) -> JSON? {
    guard let longest = context.contexts.last else { return nil }
    let trained = context.baseline
    let anew = context.difference(own, longest, losses[1], longest)
    let last = context.difference(own, longest, losses[0], trained)
    guard let holds = context.difference(own, longest, own, trained), let anew, let last else { return nil }
    return JSON(
      [("series", .string(name)), ("length", JSON(longest))]
        + Self.entries("cost_when_short", context.difference(own, trained, losses[0], trained))
        + Self.entries("change", holds) + Self.entries("against_begun_anew", anew)
        + Self.entries("against_last_alone", last)
        + [("beats_both", .bool(anew.interval.upperBound < 0 && last.interval.upperBound < 0))])
  }
}
