/// So many of so many where samples come in clusters: those whose filler is from one document are not independent,
/// and an interval that takes them for it is too narrow.
package struct ClusteredProportion: Sendable, Hashable {
  /// Each cluster's hits and samples.
  package let clusters: [Proportion]

  package init(_ clusters: [Proportion]) {
    precondition(!clusters.isEmpty, "a proportion of nothing")
    self.clusters = clusters
  }

  /// Samples by the document that each belongs to; there must be one at least.
  package init<Document: Hashable>(_ samples: [(document: Document, isHit: Bool)]) {
    var counts: [Document: (hits: Int, samples: Int)] = [:]
    var order: [Document] = []
    for sample in samples {
      if counts[sample.document] == nil { order.append(sample.document) }
      counts[sample.document, default: (0, 0)].samples += 1
      if sample.isHit { counts[sample.document, default: (0, 0)].hits += 1 }
    }
    self.init(order.compactMap { counts[$0].map { Proportion(hits: $0.hits, of: $0.samples) } })
  }

  package var hits: Int { clusters.reduce(0) { $0 + $1.hits } }
  package var samples: Int { clusters.reduce(0) { $0 + $1.samples } }
  package var rate: Double { Double(hits) / Double(samples) }

  /// The variance of the rate by the ratio estimator (the sandwich): G/(G-1) · Σ (yᵢ - r nᵢ)² / n²; nil for one
  /// cluster.
  package var variance: Double? {
    guard clusters.count > 1 else { return nil }
    let groups = Double(clusters.count)
    let sum = clusters.reduce(0.0) { sum, cluster in
      let rest = Double(cluster.hits) - rate * Double(cluster.samples)
      return sum + rest * rest
    }
    return groups / (groups - 1) * sum / (Double(samples) * Double(samples))
  }

  /// How many independent samples would tell as much (Kish's design effect taken out). Where all or none are hits the
  /// variance says nothing, and each cluster counts as one sample: cautious, and right where every cluster has one.
  package var effectiveSamples: Double {
    let simple = rate * (1 - rate) / Double(samples)
    guard simple > 0, let variance else { return Double(clusters.count) }
    guard variance > 0 else { return Double(samples) }
    return min(Double(samples), max(1, Double(samples) * simple / variance))
  }

  /// Wilson's interval on the effective samples; `z` is 1.96 for 95 %.
  package func interval(z: Double = 1.959964) -> ClosedRange<Double> {
    Proportion.interval(rate: rate, samples: effectiveSamples, z: z)
  }

  /// The percentile interval of a cluster bootstrap from a fixed seed: clusters drawn with replacement, `draws` times.
  package func bootstrap(draws: Int = 2000, seed: UInt64 = 1, coverage: Double = 0.95) -> ClosedRange<Double> {
    var generator = TaskGenerator(seed: seed)
    var rates = (0..<max(1, draws)).map { _ in
      var hits = 0
      var samples = 0
      for _ in clusters {
        let cluster = generator.pick(clusters)
        hits += cluster.hits
        samples += cluster.samples
      }
      return Double(hits) / Double(samples)
    }
    rates.sort()
    let tail = (1 - coverage) / 2 * Double(rates.count - 1)
    return rates[Int(tail.rounded())]...rates[Int((Double(rates.count - 1) - tail).rounded())]
  }
}
