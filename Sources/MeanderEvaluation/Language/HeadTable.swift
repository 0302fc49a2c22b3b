import Glibc
import MeanderFiles
import MeanderModels
import MeanderTasks

/// What became of each head's state over a stream, the mean over all streams.
struct HeadTable {
  private struct Head {
    let layer: Int
    let number: Int
    /// By sample: position in tokens, and the means of norm, of the largest entry over the root of the mean square,
    /// and of what is left of the first token, as a logarithm.
    var samples: [(position: Int, norm: Double, outlier: Double, retention: Double)]
  }

  private var heads: [Head] = []
  private let trained: Int?

  init(_ outcomes: [JSON], trained: Int?) {
    self.trained = trained
    let count = outcomes.map { $0["samples"]?.array?.count ?? 0 }.min() ?? 0
    for place in 0..<count {
      let samples = outcomes.compactMap { $0["samples"]?.array?[place] }
      let position = samples.reduce(0) { $0 + ($1["position"]?.integer ?? 0) } / max(1, samples.count)
      let layers = samples.compactMap { $0["layers"]?.array?.map { $0.array ?? [] } }
      guard let shape = layers.first else { continue }
      var number = 0
      for (layer, list) in shape.enumerated() {
        for head in list.indices {
          let readings = layers.compactMap { $0[layer][head].array?.compactMap(\.double) }.filter { $0.count == 3 }
          func mean(_ field: Int) -> Double { readings.reduce(0) { $0 + $1[field] } / Double(max(1, readings.count)) }
          if heads.count <= number { heads.append(Head(layer: layer, number: head, samples: [])) }
          heads[number].samples.append((position, mean(0), mean(1), mean(2)))
          number += 1
        }
      }
    }
  }

  var rows: [JSON] {
    heads.flatMap { head in
      head.samples.map { sample in
        JSON([
          ("layer", JSON(head.layer)), ("head", JSON(head.number)), ("position", JSON(sample.position)),
          ("norm", JSON(sample.norm)), ("outlier_ratio", JSON(sample.outlier)),
          ("log_retention", JSON(sample.retention)),
        ])
      }
    }
  }

  /// Heads that still hold half of what they read first at the end of the trained length, and whose norm later is more
  /// than twice the largest that it was within it, which is the alarm's rule: from where, and by how much in the end.
  var collapsing: [JSON] {
    guard let trained else { return [] }
    return heads.compactMap { head -> JSON? in
      guard let limit = largestNorm(head), limit > 0 else { return nil }
      let outside = head.samples.filter { $0.position > trained }
      guard let first = outside.first(where: { $0.norm > 2 * limit }), let last = outside.last else { return nil }
      // The decay of a head goes on at the pace that it has: what was left at the trained length follows from any
      // sample.
      guard first.retention * Double(trained) / Double(first.position) > LanguageModel.logHalf else {
        return nil
      }
      return JSON([
        ("layer", JSON(head.layer)), ("head", JSON(head.number)), ("position", JSON(first.position)),
        ("norm_over_trained", JSON(last.norm / limit)), ("outlier_ratio", JSON(last.outlier)),
      ])
    }
  }

  private func largestNorm(_ head: Head) -> Double? {
    guard let trained else { return head.samples.first?.norm }
    return head.samples.filter { $0.position <= max(trained, 512) }.map(\.norm).max() ?? head.samples.first?.norm
  }

  var panels: [JSON] {
    if heads.isEmpty { return [] }
    let norms = heads.compactMap { head -> (String, [JSON])? in
      guard let limit = largestNorm(head), limit > 0 else { return nil }
      return (name(head), head.samples.map { ReportPanel.point(Double($0.position), max(1e-6, $0.norm / limit)) })
    }
    let kept = heads.map { head in
      (name(head), head.samples.map { ReportPanel.point(Double($0.position), min(1, exp($0.retention))) })
    }
    let what = trained == nil ? "its value at the first sample" : "its largest within the trained length"
    return [
      ReportPanel(
        title: "norm of each head's state over \(what)", horizontal: "position, tokens", vertical: "ratio",
        isLogarithmic: (true, true), series: norms
      ).json,
      ReportPanel(
        title: "what each head keeps of the first token", horizontal: "position, tokens", vertical: "share",
        isLogarithmic: (true, false), series: kept
      ).json,
    ]
  }

  private func name(_ head: Head) -> String { heads.count > 24 ? "" : "\(head.layer).\(head.number)" }
}
