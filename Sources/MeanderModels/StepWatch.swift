import MeanderKernels

/// The time steps that the heads of a model took over a run of tokens: what tells how much of each token they wrote down.
package final class StepWatch: StepObserver {
  /// A layer's heads, in the order of the scans.
  package struct Layer: Sendable {
    /// A of each head.
    package let rates: [Double]
    /// T × H
    package let steps: [Float]
  }

  package private(set) var layers: [Layer] = []

  package init() {}

  package func see(_ dt: Matrix, heads: HeadGates, kernels: Kernels) {
    let steps = HeadSteps(
      step: Matrix(rows: dt.rows, columns: dt.columns), decay: Doubles([Double](repeating: 0, count: dt.rows * dt.columns)))
    kernels.steps(dt, heads: HeadTable(heads.gates), total: nil, into: steps)
    layers.append(Layer(rates: heads.gates.map(\.rate), steps: steps.step.array()))
  }
}
