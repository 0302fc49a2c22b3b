import MeanderErrors
import MeanderFiles
import MeanderKernels

/// The Mamba-3 layer (Lahoti and others 2026). Per head, with pairs of places turned by an angle that follows from the inputs, and a
/// trapezoid's rule for what is written:
///
///     [z | x | B | C | dt | A | λ | θ'] = W_in u,   B = norm(B) + bias,   C = norm(C) + bias
///     dt = softplus(dt + bias),   A = -max(act(A), floor),   λ = σ(λ),   act(a) = 1 + a above zero, 1 / (1 - a) below
///     θ = θ + π tanh(θ') dt,   k = turn(B, θ),   q = turn(C, θ)
///     S[t] = α S[t-1] + (1 - λ) dt α k[t-1] ⊗ x[t-1] + λ dt k[t] ⊗ x[t],   α = exp(A dt)
///     y = q S + D x,   out = W_out (y ∘ silu(z)),   with a norm of each head before the gate where there is one
///
/// With several inputs and outputs, a head has R slices of B, C and their biases, turned alike, and three vectors for each:
///
///     S[t] = α S[t-1] + Σ_r …k_r ⊗ x_r as above,   x_r = x ∘ mimo_x_r,   z_r = z ∘ mimo_z_r
///     y_r = q_r S + D x_r,   out = W_out Σ_r mimo_o_r ∘ y_r ∘ silu(z_r)
///
/// A token is written twice, the second time once the next one is known. So what is stored is
/// R[t] = S[t-1] + (1 - λ) dt k[t-1] ⊗ x[t-1], which takes in one product a token and slice, and S[t] = α R[t] + λ dt k[t] ⊗ x[t]:
/// the shared linear recurrence, one token late.
package struct Mamba3Mixer: LinearMixer {
  package struct Sizes: Sendable {
    /// D
    package var width: Int
    /// H
    package var heads: Int
    /// P
    package var headWidth: Int
    /// N
    package var stateSize: Int
    /// G, heads that share B and C before their biases.
    package var groups: Int
    /// Pairs that turn; the other places of a head do not.
    package var angles: Int
    /// What -A is at least.
    package var lowestRate: Float
    /// Whether act is softplus, as in the first models.
    package var rateIsSoftplus: Bool
    package var hasNorm: Bool
    /// R of several inputs and outputs, whose pairs are the places i and i + N/2; nil for a single one, which turns neighbours.
    package var slices: Int?

    var rank: Int { slices ?? 1 }
    var inner: Int { heads * headWidth }
    var keys: Int { heads * rank * stateSize }
  }

  /// What each slice of a head does with x, z and y: 1 × (H·R·P) each.
  struct Projections: Sendable {
    let x, z, out: Matrix
  }

  let sizes: Sizes
  /// x, and dt, A, λ and θ' together.
  let value, gates: Weight
  /// B and C: (G·R·N) × D each, their norms, and their biases, 1 × (H·R·N).
  let key, query: Weight
  let keyNorm, queryNorm: Norm
  let keyBias, queryBias: Matrix
  /// 1 × H each.
  let stepBias, skip: Matrix
  /// z
  let gate: Weight
  let norm: Norm?
  let projections: Projections?
  let out: Weight

  /// Reads the layer whose tensors are called `prefix`in_proj.weight and so on.
  init(_ sizes: Sizes, prefix: String, from reader: WeightReader) throws {
    self.sizes = sizes
    let (inner, rank, groups, size) = (sizes.inner, sizes.rank, sizes.groups, sizes.stateSize)
    let shared = groups * rank * size
    let rest = 3 * sizes.heads + sizes.angles
    let all = 2 * inner + 2 * shared + rest
    func part(_ rows: Range<Int>) throws -> Weight {
      try reader.weight(prefix + "in_proj.weight", outputs: all, inner: sizes.width, rows: [rows])
    }
    func norm(_ name: String, _ width: Int) throws -> Norm {
      try reader.rootMeanSquareNorm(prefix + name + ".weight", width: width, epsilon: 1e-5)
    }
    func slices(_ name: String, width: Int) throws -> Matrix {
      try reader.headRow(prefix + name, heads: sizes.heads, width: rank * width, shape: [sizes.heads, rank, width])
    }
    // The file has a slice of all groups after the other.
    func slices(from start: Int) throws -> Weight {
      try reader.weight(
        prefix + "in_proj.weight", outputs: all, inner: sizes.width,
        rows: (0..<groups * rank).map {
          let first = start + ($0 % rank * groups + $0 / rank) * size
          return first..<first + size
        })
    }
    (gate, value) = (try part(0..<inner), try part(inner..<2 * inner))
    (key, query) = (try slices(from: 2 * inner), try slices(from: 2 * inner + shared))
    gates = try part(all - rest..<all)
    (keyNorm, queryNorm) = (try norm("B_norm", sizes.stateSize), try norm("C_norm", sizes.stateSize))
    (keyBias, queryBias) = (try slices("B_bias", width: size), try slices("C_bias", width: size))
    stepBias = try reader.row(prefix + "dt_bias", count: sizes.heads)
    skip = try reader.row(prefix + "D", count: sizes.heads)
    self.norm = sizes.hasNorm ? try norm("norm", inner) : nil
    projections = sizes.slices == nil ? nil : Projections(
      x: try slices("mimo_x", width: sizes.headWidth), z: try slices("mimo_z", width: sizes.headWidth),
      out: try slices("mimo_o", width: sizes.headWidth))
    out = try reader.weight(prefix + "out_proj.weight", outputs: sizes.width, inner: inner)
  }

  // The regions before the recurrence's, in the order of `declareState`: the last token's k, x, A dt and λ dt, and θ in turns with
  // what fp32 cannot hold of it.
  private static let (lastKey, lastValue, lastDecay, lastInsertion, angle, angleRest) = (0, 1, 2, 3, 4, 5)
  var memory: LinearState {
    LinearState(heads: sizes.heads, size: sizes.stateSize, width: sizes.headWidth, decays: 1, first: 6)
  }

  package func declareState(in layout: inout StateLayout, layer: String) -> [StateRegion] {
    let turning = [sizes.heads, sizes.angles]
    return [
      layout.append("\(layer).last_key", .f32, [sizes.heads] + (sizes.slices.map { [$0] } ?? []) + [sizes.stateSize]),
      layout.append("\(layer).last_value", .f32, [sizes.heads, sizes.headWidth]),
      layout.append("\(layer).last_decay", .f32, [sizes.heads]),
      layout.append("\(layer).last_insertion", .f32, [sizes.heads]),
      layout.append("\(layer).angle", .f32, turning),
      layout.append("\(layer).angle_rest", .f32, turning),
    ] + memory.declare(in: &layout, layer: layer, name: "ssm")
  }

  /// A region as one row.
  private func row(_ index: Int, _ state: MixerState) -> Matrix {
    let region = state.matrix(index)
    return region.reshaped(columns: region.rows * region.columns)
  }

  package func forward(
    _ input: MixerInput, state: MixerState, outputs: Int, residual: Matrix, _ operations: Operations
  ) -> Matrix {
    let (heads, asked) = (sizes.heads, input.count - outputs..<input.count)
    let x = operations.project(input, value)
    let gates = operations.project(input, gates)
    func part(_ index: Int) -> Matrix { gates.columns(index * heads..<(index + 1) * heads) }
    let step = operations.softplus(part(0), bias: stepBias)
    let decay = operations.scale(operations.multiply(rate(part(1), operations), by: step), by: -1)
    let insertion = operations.multiply(operations.activate(part(2), .sigmoid), by: step)
    let angles = operations.turning(
      operations.activate(gates.columns(3 * heads..<3 * heads + sizes.angles), .tanh), step: step,
      angle: row(Self.angle, state), rest: row(Self.angleRest, state))
    let k = turned(operations.project(input, key), keyNorm, keyBias, angles, operations)
    let q = turned(operations.project(input.suffix(outputs), query), queryNorm, queryBias, angles.rows(asked), operations)

    // What the token before is written with: λ dt of its own, and (1 - λ) dt of this one.
    let share = operations.add(
      operations.delayed(insertion, last: row(Self.lastInsertion, state)),
      to: operations.addProduct(step, insertion, operations.constant(-1, columns: heads)))
    let last = operations.delayed(x, last: row(Self.lastValue, state))
    let read = memory.scan(
      LinearInputs(
        q: operations.headScale(q, by: operations.exponential(decay.rows(asked))),
        k: operations.headScale(operations.delayed(k, last: row(Self.lastKey, state)), by: share),
        v: sliced(last, projections?.x, operations), decay: operations.delayed(decay, last: row(Self.lastDecay, state)),
        heads: heads, rank: sizes.rank), state, operations)
    guard outputs > 0 else { return residual }
    let v = sliced(x.rows(asked), projections?.x, operations)
    let y = addOwn(of: q, k.rows(asked), v, insertion.rows(asked), to: read, operations)
    let opened = sliced(operations.project(input.suffix(outputs), gate), projections?.z, operations)
    let gated = operations.activate(opened, .silu, times: normed(y, operations))
    let closed = projections.map { operations.multiply(gated, by: $0.out) } ?? gated
    return operations.project(
      operations.sumSlices(closed, heads: heads, slices: sizes.rank), out, addingTo: residual)
  }

  /// Each head of x as its slices: x times the vector of each, T × (H·R·P).
  private func sliced(_ x: Matrix, _ vectors: Matrix?, _ operations: Operations) -> Matrix {
    guard let vectors else { return x }
    return operations.multiply(operations.repeatHeads(x, heads: sizes.heads, times: sizes.rank), by: vectors)
  }

  /// Adds what each slice reads of what its own token writes, with the skip: Σ_s λ dt (q_r · k_s) v_s + D v_r.
  private func addOwn(
    of q: Matrix, _ k: Matrix, _ v: Matrix, _ insertion: Matrix, to read: Matrix, _ operations: Operations
  ) -> Matrix {
    let (heads, rank) = (sizes.heads, sizes.rank)
    let insertions = operations.repeatHeads(insertion, heads: heads, times: rank)
    var y = read
    for distance in 0..<rank {
      func moved(_ x: Matrix) -> Matrix { operations.rolled(x, heads: heads, slices: rank, by: distance) }
      let dot = operations.multiply(operations.headDot(q, moved(k), heads: heads * rank), by: insertions)
      let weight = distance > 0 ? dot : operations.offset(dot, by: operations.repeatHeads(skip, heads: heads, times: rank))
      y = operations.add(operations.headScale(moved(v), by: weight), to: y)
    }
    return y
  }

  /// The norm of each head, or of each of its slices by itself.
  private func normed(_ y: Matrix, _ operations: Operations) -> Matrix {
    guard let norm else { return y }
    guard sizes.rank > 1 else { return operations.norm(y, norm, groups: sizes.heads) }
    let ones = Norm(
      .rootMeanSquare, weight: operations.constant(1, columns: sizes.headWidth), epsilon: norm.epsilon)
    return operations.multiply(
      operations.normHeads(y, ones), by: operations.repeatHeads(norm.weight, heads: sizes.heads, times: sizes.rank))
  }

  /// -A
  private func rate(_ x: Matrix, _ operations: Operations) -> Matrix {
    operations.atLeast(
      sizes.rateIsSoftplus ? operations.softplus(x, bias: nil) : operations.heavyTail(x), sizes.lowestRate)
  }

  /// B or C of the groups as the heads' own: normed, biased and turned, T × (H·R·N).
  private func turned(
    _ x: Matrix, _ norm: Norm, _ bias: Matrix, _ angles: TurningAngles, _ operations: Operations
  ) -> Matrix {
    let own = operations.repeatHeads(
      operations.normHeads(x, norm), heads: sizes.groups, times: sizes.heads / sizes.groups)
    return operations.rotateHeads(
      operations.offset(own, by: bias), by: angles, heads: sizes.heads, slices: sizes.rank, halves: sizes.slices != nil)
  }

  var exchangeReason: String { "a token is written when the next one is known, with that one's time step" }

  /// S, θ in radians, and the last token's k and x; of several slices k is R × H × N.
  package func referenceState(_ state: MixerState) -> [ReferenceTensor] {
    let (size, width, rank, stored) = (sizes.stateSize, sizes.headWidth, sizes.rank, memory.truth(state))
    let (k, x) = (row(Self.lastKey, state), row(Self.lastValue, state))
    let (decay, insertion) = (row(Self.lastDecay, state), row(Self.lastInsertion, state))
    var values: [Float] = []
    for head in 0..<sizes.heads {
      let kept = exponential(Double(decay[0, head]))
      for p in 0..<width {
        for n in 0..<size {
          var sum = kept * Double(stored[(head * size + n) * width + p])
          for slice in head * rank..<(head + 1) * rank {
            let share = Double(projections?.x[0, slice * width + p] ?? 1) * Double(x[0, head * width + p])
            sum += Double(insertion[0, head]) * Double(k[0, slice * size + n]) * share
          }
          values.append(Float(sum))
        }
      }
    }
    let turns = zip(row(Self.angle, state).array(), row(Self.angleRest, state).array())
    var keys: [Float] = []
    for slice in 0..<rank {
      for head in 0..<sizes.heads {
        let first = (head * rank + slice) * size
        keys += k.columns(first..<first + size).array()
      }
    }
    return [
      ReferenceTensor(name: "ssm", shape: [sizes.heads, width, size], values: values),
      ReferenceTensor(
        name: "angle", shape: [sizes.heads, sizes.angles], values: turns.map { Float(2 * .pi * (Double($0) + Double($1))) }),
      ReferenceTensor(name: "key", shape: (sizes.slices.map { [$0] } ?? []) + [sizes.heads, size], values: keys),
      ReferenceTensor(name: "value", shape: [sizes.heads, width], values: x.array()),
    ]
  }

  package var scratchPerToken: Int {
    let (inner, keys, turning, rank) = (sizes.inner, sizes.keys, sizes.heads * sizes.angles, sizes.rank)
    let single = 9 * (inner + 16) + 14 * (keys + 16) + 3 * (turning + 16) + 2 * (sizes.angles + 16)
      + 20 * (sizes.heads * rank + 16) + memory.scratch(removes: false, rank: rank)
    guard sizes.slices != nil else { return single }
    return single + (12 + 3 * rank) * (rank * inner + 16) + rank * (keys + 16) + 3 * rank * (sizes.heads * rank + 16)
  }
}
