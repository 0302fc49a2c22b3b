import Glibc
import MeanderErrors
import MeanderFiles

/// How the learning rate moves over a run, as a factor on the recipe's rate.
public struct Schedule: Sendable, Hashable {
  /// What follows the warm-up.
  public enum Kind: String, Sendable, CaseIterable {
    /// 1 throughout.
    case constant
    /// Half a cosine from 1 down to `final` (Loshchilov and Hutter 2017).
    case cosine
    /// Warm-up, stable, decay: 1 until the last `decayShare` of the run, then a straight line to `final` (Hu and others 2024).
    case wsd
  }

  /// What follows the warm-up.
  public var kind: Kind
  /// Steps over which the factor rises in a straight line from 1 / warmUp to 1.
  public var warmUp: Int
  /// The factor at the end of the run.
  public var final: Double
  /// The part of the run that `wsd` decays over.
  public var decayShare: Double

  /// A schedule of this kind.
  public init(_ kind: Kind = .cosine, warmUp: Int = 0, final: Double = 0.1, decayShare: Double = 0.1) {
    (self.kind, self.warmUp, self.final, self.decayShare) = (kind, warmUp, final, decayShare)
  }

  /// The factor of step `step` of `steps`, both counted from 0.
  public func factor(step: Int, of steps: Int) -> Double {
    if step < warmUp { return Double(step + 1) / Double(warmUp) }
    switch kind {
    case .constant: return 1
    case .cosine:
      let progress = min(1, Double(step - warmUp) / Double(max(1, steps - 1 - warmUp)))
      return final + (1 - final) * (1 + cos(.pi * progress)) / 2
    case .wsd:
      let start = Double(steps) * (1 - decayShare)
      guard Double(step) > start else { return 1 }
      let progress = min(1, (Double(step) - start) / max(1, Double(steps - 1) - start))
      return 1 + (final - 1) * progress
    }
  }
}

extension Schedule {
  package init(_ options: inout Configuration) throws {
    kind = Kind(rawValue: try options.string("kind", "cosine", among: Kind.allCases.map(\.rawValue))) ?? .cosine
    warmUp = try options.integer("warm_up", 0, in: 0...1 << 40)
    final = try options.float("final", 0.1, in: 0...1)
    decayShare = try options.float("decay_share", 0.1, in: 0...1)
  }
}
