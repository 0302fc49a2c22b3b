import MeanderErrors
import MeanderFiles
import MeanderKernels

/// The mLSTM layer (Beck and others 2024): a matrix memory with exponential gates, a normaliser and a stabiliser. Per head, with
/// i and f capped to ± the cap:
///
///     m = max(log σ(f) + m, i),   F = exp(log σ(f) + m before - m),   I = exp(i - m)
///     C = F C + I k ⊗ v,   n = F n + I k
///     h = q C / (max(|q n|, exp(-m)) + ε),   q scaled by 1/√N
///     out = W_out (σ(o) ∘ norm(h)),   a layer norm of each head
package struct MatrixMemoryMixer: Mixer {
  package struct Sizes: Sendable {
    /// D
    package var width: Int
    /// H
    package var heads: Int
    /// H·N and H·P.
    package var keys, values: Int
    /// What bounds the gates before their activations.
    package var gateCap: Float
    /// ε of the heads' norm, and of the division.
    package var epsilon, stabilityEpsilon: Float
  }

  let sizes: Sizes
  let query, key, value, inputGate, forgetGate, outputGate, out: Weight
  let norm: Norm

  /// Reads the layer whose tensors are called `prefix`q.weight and so on.
  package init(_ sizes: Sizes, prefix: String, from reader: WeightReader) throws {
    self.sizes = sizes
    let width = sizes.width
    func weight(_ name: String, _ outputs: Int, hasBias: Bool = false) throws -> Weight {
      try reader.weight(
        prefix + name + ".weight", outputs: outputs, inner: width, bias: hasBias ? prefix + name + ".bias" : nil)
    }
    (query, key, value) = (try weight("q", sizes.keys), try weight("k", sizes.keys), try weight("v", sizes.values))
    inputGate = try weight("igate_preact", sizes.heads, hasBias: true)
    forgetGate = try weight("fgate_preact", sizes.heads, hasBias: true)
    outputGate = try weight("ogate_preact", sizes.values)
    out = try reader.weight(prefix + "out_proj.weight", outputs: width, inner: sizes.values)
    norm = Norm(
      .layer, weight: try reader.row(prefix + "multihead_norm.weight", count: sizes.values), epsilon: sizes.epsilon)
  }

  private static let stabiliser = 0
  private var memory: LinearState {
    LinearState(heads: sizes.heads, size: sizes.keys / sizes.heads, width: sizes.values / sizes.heads, decays: 1, first: 1)
  }
  private var normaliser: LinearState {
    LinearState(heads: sizes.heads, size: sizes.keys / sizes.heads, width: 1, decays: 1, first: 4)
  }

  package func declareState(in layout: inout StateLayout, layer: String) -> [StateRegion] {
    [layout.append("\(layer).m", .f32, [sizes.heads])] + memory.declare(in: &layout, layer: layer, name: "c")
      + normaliser.declare(in: &layout, layer: layer, name: "n")
  }

  package func forward(
    _ input: MixerInput, state: MixerState, outputs: Int, residual: Matrix, _ operations: Operations
  ) -> Matrix {
    let heads = sizes.heads
    let k = operations.project(input, key)
    let v = operations.project(input, value)
    let gates = operations.stabilisedGates(
      input: operations.softCap(operations.project(input, inputGate), sizes.gateCap),
      forget: operations.softCap(operations.project(input, forgetGate), sizes.gateCap),
      largest: state.matrix(Self.stabiliser))
    let asked = input.suffix(outputs)
    let root = Float(sizes.keys / heads).squareRoot()
    let q = operations.multiply(operations.project(asked, query), by: operations.constant(1 / root, columns: sizes.keys))
    let written = operations.headScale(k, by: gates.insertion)
    let read = memory.scan(
      LinearInputs(q: q, k: written, v: v, decay: gates.decay, heads: heads), state, operations)
    let ones = operations.constant(1, rows: input.count, columns: heads)
    let weight = normaliser.scan(
      LinearInputs(q: q, k: written, v: ones, decay: gates.decay, heads: heads), state, operations)
    guard outputs > 0 else { return residual }
    let floor = gates.floor.rows(input.count - outputs..<input.count)
    let h = operations.headScale(
      read, by: operations.inverseOfLarger(weight, floor, epsilon: sizes.stabilityEpsilon))
    let opened = operations.project(asked, outputGate)
    let normed = operations.norm(h, norm, groups: heads)
    return operations.project(operations.activate(opened, .sigmoid, times: normed), out, addingTo: residual)
  }

  package var gaugedHeads: Int { sizes.heads }
  package func readings(of state: MixerState, kernels: Kernels) -> [HeadReading] { memory.readings(state) }

  package var gating: MixerGating { .fixed(reason: "its normaliser makes up for what its gates do, and it has no time step") }

  package func referenceState(_ state: MixerState) -> [ReferenceTensor] {
    let size = sizes.keys / sizes.heads
    return [
      ReferenceTensor(name: "c", shape: [sizes.heads, size, sizes.values / sizes.heads], values: memory.truth(state)),
      ReferenceTensor(name: "n", shape: [sizes.heads, size], values: normaliser.truth(state)),
      ReferenceTensor(name: "m", shape: [sizes.heads, 1], values: state.matrix(Self.stabiliser).array()),
    ]
  }

  package var scratchPerToken: Int {
    4 * (sizes.keys + 16) + 6 * (sizes.values + 16) + 10 * (sizes.heads + 16) + memory.scratch(removes: false)
  }
}

/// The gates of a run of mLSTM, T × H each.
struct StabilisedGates {
  /// ln F, at most 0; I; and exp(-m).
  let decay, insertion, floor: Matrix
}

extension Operations {
  /// Exponential gates made relative to the largest exponent so far, `largest` (1 × H, moved on). What is read does not depend
  /// on it, so no gradient goes through it.
  func stabilisedGates(input: Matrix, forget: Matrix, largest: Matrix) -> StabilisedGates {
    let (tokens, heads) = (input.rows, input.columns)
    func rows() -> Matrix { arena.matrix(rows: tokens, columns: heads) }
    let result = StabilisedGates(decay: rows(), insertion: rows(), floor: rows())
    for head in 0..<heads {
      var m = largest[0, head]
      for t in 0..<tokens {
        let f = Double(forget[t, head])
        // log σ(f)
        let keep = Float(min(f, 0) - logarithm(1 + MeanderKernels.exponential(-abs(f))))
        let next = max(keep + m, input[t, head])
        result.decay[t, head] = keep + m - next
        result.insertion[t, head] = Float(MeanderKernels.exponential(Double(input[t, head] - next)))
        result.floor[t, head] = Float(MeanderKernels.exponential(Double(-next)))
        m = next
      }
      largest[0, head] = m
    }
    if let tape {
      let (kernels, gradients) = (kernels, tape.gradients)
      tape.record {
        let part = Matrix(rows: tokens, columns: heads)
        part.copy(from: result.insertion)
        kernels.multiply(gradients.of(result.insertion), into: part)
        kernels.add(part, to: gradients.of(input))
        // The slope of log σ is 1 - σ.
        part.copy(from: forget)
        kernels.activate(part, .sigmoid, into: part)
        kernels.multiply(gradients.of(result.decay), into: part)
        let dforget = gradients.of(forget)
        kernels.add(gradients.of(result.decay), to: dforget)
        kernels.add(part, scale: -1, to: dforget)
      }
    }
    return result
  }

  /// 1 / (max(|x|, floor) + ε), T × H. No gradient goes to the floor.
  func inverseOfLarger(_ x: Matrix, _ floor: Matrix, epsilon: Float) -> Matrix {
    let y = arena.matrix(rows: x.rows, columns: x.columns)
    for row in 0..<x.rows {
      for column in 0..<x.columns { y[row, column] = 1 / (max(abs(x[row, column]), floor[row, column]) + epsilon) }
    }
    record(y) { dy, gradients, _ in
      let dx = gradients.of(x)
      for row in 0..<x.rows {
        for column in 0..<x.columns where abs(x[row, column]) > floor[row, column] {
          let slope = y[row, column] * y[row, column]
          dx[row, column] -= dy[row, column] * (x[row, column] > 0 ? slope : -slope)
        }
      }
    }
    return y
  }
}
