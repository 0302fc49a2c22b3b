import Glibc
import MeanderErrors
import MeanderFiles
import MeanderKernels
import MeanderModels

/// AdamW (Loshchilov and Hutter 2019) with decoupled weight decay, and an average of the weights beside it.
///
/// Decay acts on matrices and the embedding alone: never on A_log, D, dt_bias, norms, biases or the convolution. Everything is
/// fp32 and done in one order, so a step's bits follow from its gradient.
public struct AdamW: Sendable, Hashable {
  /// The learning rate that the schedule's factor multiplies.
  public var rate = 1e-3
  /// β₁, how much of the first moment is kept each step.
  public var beta1 = 0.9
  /// β₂, how much of the second moment is kept each step.
  public var beta2 = 0.95
  /// ε, what keeps the division by the root of the second moment finite.
  public var epsilon = 1e-8
  /// Weight decay, as a factor on rate · value; it acts on matrices and the embedding alone.
  public var decay = 0.1
  /// The gradient's norm above which it is scaled down to that norm; 0 for never.
  public var clip = 1.0
  /// A factor on the rate of A_log and dt_bias, whose scale is that of no other parameter.
  public var gateRate = 1.0
  /// The factor of an exponential moving average of the weights for each step; 0 for none. Evaluations and exports use it.
  public var average = 0.0

  /// AdamW with the usual settings: rate 1e-3, β 0.9 and 0.95, decay 0.1, clip 1.
  public init() {}
}

extension AdamW {
  package init(_ options: inout Configuration) throws {
    self.init()
    rate = try options.float("rate", rate, in: 0...10)
    beta1 = try options.float("beta1", beta1, in: 0...0.99999)
    beta2 = try options.float("beta2", beta2, in: 0...0.999999)
    epsilon = try options.float("epsilon", epsilon, in: 0...1)
    decay = try options.float("decay", decay, in: 0...10)
    clip = try options.float("clip", clip, in: 0...1e6)
    gateRate = try options.float("gate_rate", gateRate, in: 0...1e3)
    average = try options.float("average", average, in: 0...0.999999)
  }
}

/// The optimiser's memory: twins of the parameters' storage.
package final class OptimizerState {
  let first: Storage
  let second: Storage
  /// The average of the weights, where one is kept.
  let average: Storage?
  /// How many steps were taken.
  var steps = 0

  init(_ parameters: Parameters, averages: Bool) {
    let bytes = parameters.storage.byteCount
    (first, second) = (Storage(byteCount: bytes), Storage(byteCount: bytes))
    average = averages ? Storage(byteCount: bytes) : nil
    average?.copy(from: parameters.storage)
  }
}

extension AdamW {
  /// The norm of a gradient over all parameters, summed in fp64.
  func norm(of gradient: Storage, _ parameters: Parameters, kernels: Kernels) -> Double {
    parameters.entries.reduce(0) { sum, entry in
      let values = parameters.matrix(entry, in: gradient)
      return sum + kernels.dot(values, values)
    }.squareRoot()
  }

  /// Moves the parameters by one step. O(parameters).
  ///
  /// - Parameters:
  ///   - gradient: the sum over all targets; `weight` makes it a mean.
  ///   - norm: the mean gradient's.
  ///   - factor: the schedule's.
  ///   - baseWidth: with maximal-update scaling, the width that `rate` was found at: matrices inside wider models take less.
  func step(
    _ parameters: Parameters, gradient: Storage, weight: Double, norm: Double, state: OptimizerState, factor: Double, width: Int,
    baseWidth: Int?, kernels: Kernels
  ) {
    state.steps += 1
    let scale = (clip > 0 && norm > clip ? clip / norm : 1) / weight
    for entry in parameters.entries {
      let step = adamStep(
        scale: scale, rate: rate * factor * multiplier(entry, width: width, baseWidth: baseWidth),
        decay: decays(entry) ? decay : 0, steps: state.steps)
      kernels.adam(
        parameters.matrix(entry), gradient: parameters.matrix(entry, in: gradient),
        first: parameters.matrix(entry, in: state.first), second: parameters.matrix(entry, in: state.second), step)
      guard let average = state.average else { continue }
      // average += (1 - β)·(weights - average), where early steps count as if the average were shorter.
      let kept = min(self.average, Double(state.steps) / Double(state.steps + 10))
      let to = parameters.matrix(entry, in: average)
      kernels.add(to, scale: Float(kept - 1), to: to)
      kernels.add(parameters.matrix(entry), scale: Float(1 - kept), to: to)
    }
  }

  func adamStep(scale: Double, rate: Double, decay: Double, steps: Int) -> Kernels.AdamStep {
    Kernels.AdamStep(
      scale: Float(scale), rate: Float(rate), beta1: Float(beta1), beta2: Float(beta2), epsilon: Float(epsilon),
      decay: Float(decay), correction1: Float(1 / (1 - pow(beta1, Double(steps)))),
      correction2: Float(1 / (1 - pow(beta2, Double(steps)))))
  }

  private func decays(_ entry: Parameters.Entry) -> Bool { entry.shape.count == 2 }

  private func multiplier(_ entry: Parameters.Entry, width: Int, baseWidth: Int?) -> Double {
    if entry.name.hasSuffix("A_log") || entry.name.hasSuffix("dt_bias") { return gateRate }
    let isHidden = entry.shape.count == 2 && !entry.name.contains("embed") && !entry.name.contains("lm_head")
    return isHidden ? baseWidth.map { Double($0) / Double(width) } ?? 1 : 1
  }
}
