import MeanderKernels

/// The time steps that the heads of a model took over a run of tokens: what tells how much of each token they wrote down.
package final class StepWatch {
  /// A layer's heads, in the order of the scans.
  package struct Layer: Sendable {
    /// A of each head.
    package let rates: [Double]
    /// T × H
    package let steps: [Float]
  }

  package private(set) var layers: [Layer] = []

  package init() {}

  func take(_ steps: Matrix, rates: [Double]) { layers.append(Layer(rates: rates, steps: steps.array())) }
}
