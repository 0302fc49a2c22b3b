import Glibc
import MeanderErrors
import MeanderFiles
import MeanderKernels

/// Rotary positions (Su and others 2021): how fast each pair of a head's places turns.
package struct Rotary: Sendable {
  /// Per pair, how much of a turn a position is.
  package let turns: [Double]
  /// What queries and keys are multiplied with beside (YaRN's temperature).
  package let magnitude: Float

  package init(turns: [Double], magnitude: Float = 1) { (self.turns, self.magnitude) = (turns, magnitude) }

  /// Places of a head that are turned; those behind are left as they are.
  package var width: Int { 2 * turns.count }

  /// What a fingerprint needs to know of it.
  var arithmetic: String { "rotary \(turns) \(magnitude)" }
}

/// What a configuration says of positions and of their stretching.
package struct RotaryScaling: Sendable {
  package enum Kind: String, Sendable, CaseIterable {
    case none = "default"
    /// Positions divided by the factor (Chen and others 2023).
    case linear
    /// The base raised, so that the slowest pair is stretched by the factor and the fastest not at all ("NTK-aware").
    case ntk
    /// The reference raises the base as a text grows past the trained length. No cached key could follow that, and a
    /// bounded window never passes the trained length, so the base stays as it was trained.
    case dynamic
    /// Slow pairs stretched, fast ones left, a ramp between (Peng and others 2024).
    case yarn
    /// Likewise, by wave lengths (Llama 3).
    case llama3
    /// Each pair's frequency divided by a number of its own: what GGUF files hold in the place of a rule.
    case divided
  }

  package var kind = Kind.none
  package var base = 10000.0
  package var factor = 1.0
  /// The length that the model was trained on before it was stretched.
  package var originalLength = 2048.0
  package var betaFast = 32.0
  package var betaSlow = 1.0
  package var isTruncated = true
  package var attentionFactor: Double?
  package var lowFactor = 1.0
  package var highFactor = 4.0
  /// Of each pair, where the kind is `divided`.
  package var divisors: [Double] = []

  package init() {}

  /// The rotary positions of heads of which `width` places are turned, an even number.
  package func rotary(width: Int) -> Rotary {
    let pairs = width / 2
    var base = base
    if kind == .ntk, width > 2 { base *= pow(factor, Double(width) / Double(width - 2)) }
    let plain = (0..<pairs).map { pow(base, -2 * Double($0) / Double(width)) }
    var magnitude = attentionFactor ?? 1
    let frequencies: [Double]
    switch kind {
    case .none, .ntk, .dynamic: frequencies = plain
    case .linear: frequencies = plain.map { $0 / factor }
    case .yarn:
      magnitude = attentionFactor ?? (factor > 1 ? 0.1 * log(factor) + 1 : 1)
      frequencies = yarn(plain, width: width)
    case .llama3:
      frequencies = plain.map { frequency in
        let length = 2 * Double.pi / frequency
        if length < originalLength / highFactor { return frequency }
        if length > originalLength / lowFactor { return frequency / factor }
        let share = (originalLength / length - lowFactor) / (highFactor - lowFactor)
        return (1 - share) * frequency / factor + share * frequency
      }
    case .divided: frequencies = plain.enumerated().map { $1 / ($0 < divisors.count ? divisors[$0] : 1) }
    }
    return Rotary(turns: frequencies.map { $0 / (2 * Double.pi) }, magnitude: Float(magnitude))
  }

  /// Whether it comes down to a divisor for each pair, and no magnitude beside.
  var isDivided: Bool { [.llama3, .divided].contains(kind) && (attentionFactor ?? 1) == 1 }

  /// What the frequencies of `width` places' pairs are divided by, against those of the base alone.
  package func divisors(width: Int) -> [Double] {
    var plain = self
    plain.kind = .none
    return zip(plain.rotary(width: width).turns, rotary(width: width).turns).map { $0 / $1 }
  }

  private func yarn(_ plain: [Double], width: Int) -> [Double] {
    /// The pair that turns so often over the original length.
    func pair(turning count: Double) -> Double {
      Double(width) * log(originalLength / (count * 2 * Double.pi)) / (2 * log(base))
    }
    var (low, high) = (pair(turning: betaFast), pair(turning: betaSlow))
    if isTruncated { (low, high) = (low.rounded(.down), high.rounded(.up)) }
    low = max(low, 0)
    high = min(high, Double(width - 1))
    if low == high { high += 0.001 }
    return plain.enumerated().map { index, frequency in
      let ramp = min(max((Double(index) - low) / (high - low), 0), 1)
      return frequency / factor * ramp + frequency * (1 - ramp)
    }
  }
}

extension RotaryScaling {
  /// Reads `rope_parameters` as transformers 5 writes it, or `rope_theta` and `rope_scaling` as most checkpoints have it, and how
  /// much of a head is turned.
  ///
  /// - Parameter length: how many positions the model has.
  static func read(_ configuration: inout Configuration, length: Int) throws -> (scaling: RotaryScaling, share: Double) {
    var scaling = RotaryScaling()
    scaling.base = try configuration.float("rope_theta", 10000, in: 1...1e12)
    var share = try configuration.float("partial_rotary_factor", 1, in: 0...1)
    scaling.originalLength = Double(length)
    for key in ["rope_parameters", "rope_scaling"] {
      guard var inner = try configuration.object(key) else { continue }
      let named = try inner.optionalString("rope_type") ?? inner.optionalString("type") ?? "default"
      _ = inner.value("type")
      guard let kind = Kind(rawValue: named) else {
        throw inner.failure(
          "rope_type", "is '\(named)', it must be one of: \(Kind.allCases.map(\.rawValue).joined(separator: ", "))")
      }
      scaling.kind = kind
      scaling.base = try inner.float("rope_theta", scaling.base, in: 1...1e12)
      share = try inner.float("partial_rotary_factor", share, in: 0...1)
      scaling.factor = try inner.float("factor", kind == .none || kind == .divided ? 1 : nil, in: 1...1e6)
      scaling.divisors = try inner.floats("divisors", kind == .divided ? nil : [], in: 1e-6...1e6)
      scaling.originalLength = try inner.float("original_max_position_embeddings", scaling.originalLength, in: 1...1e12)
      scaling.betaFast = try inner.float("beta_fast", 32, in: 1e-6...1e6)
      scaling.betaSlow = try inner.float("beta_slow", 1, in: 1e-6...1e6)
      scaling.isTruncated = try inner.bool("truncate", true)
      scaling.attentionFactor = try inner.optionalFloat("attention_factor", in: 0...1e6)
      scaling.lowFactor = try inner.float("low_freq_factor", 1, in: 1e-6...1e6)
      scaling.highFactor = try inner.float("high_freq_factor", 4, in: 1e-6...1e6)
      guard scaling.highFactor > scaling.lowFactor else {
        throw inner.failure("high_freq_factor", "must be larger than low_freq_factor")
      }
      if let scale = try inner.optionalFloat("mscale", in: 0...1e3), kind == .yarn {
        let all = try inner.float("mscale_all_dim", 0, in: 0...1e3)
        func temperature(_ scale: Double) -> Double { 0.1 * scale * log(scaling.factor) + 1 }
        if all > 0 { scaling.attentionFactor = scaling.attentionFactor ?? temperature(scale) / temperature(all) }
      } else {
        inner.ignore(["mscale", "mscale_all_dim"])
      }
      // Which places turn by which of an image's positions: text has the same one in all.
      inner.ignore(["mrope_section", "mrope_interleaved"])
      try inner.finish()
    }
    return (scaling, share)
  }
}
