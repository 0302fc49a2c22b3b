/// What `Naive.selectiveScan` read: its arguments, row-major.
package struct SelectiveScanInputs<Real: NaiveReal> {
  /// T × (H·P)
  package var x: [Real]
  /// T × H, before softplus.
  package var dt: [Real]
  /// T × (G·N)
  package var b: [Real]
  /// T × (G·N)
  package var c: [Real]
  package var heads: [HeadGate]
  /// D, H numbers.
  package var skip: [Real]
  /// (H·N) × P, before the first token.
  package var state: [Real]
  package var groups: Int
  /// T
  package var tokens: Int

  package init(
    x: [Real], dt: [Real], b: [Real], c: [Real], heads: [HeadGate], skip: [Real], state: [Real], groups: Int, tokens: Int
  ) {
    (self.x, self.dt, self.b, self.c) = (x, dt, b, c)
    (self.heads, self.skip, self.state, self.groups, self.tokens) = (heads, skip, state, groups, tokens)
  }
}

/// The gradient of a loss with respect to everything that a selective scan reads, in the shapes of `SelectiveScanInputs`.
package struct SelectiveScanGradients<Real: NaiveReal> {
  package var x, dt, b, c, skip, state: [Real]
  /// With respect to ln|A| of each head: A_log, as checkpoints name it.
  package var logRate: [Real]
  /// With respect to each head's bias on dt.
  package var bias: [Real]

  init(like inputs: SelectiveScanInputs<Real>) {
    func zeros(_ count: Int) -> [Real] { [Real](repeating: 0, count: count) }
    (x, dt, b, c) = (zeros(inputs.x.count), zeros(inputs.dt.count), zeros(inputs.b.count), zeros(inputs.c.count))
    (skip, state) = (zeros(inputs.skip.count), zeros(inputs.state.count))
    (logRate, bias) = (zeros(inputs.heads.count), zeros(inputs.heads.count))
  }
}

extension Naive {
  /// The backward of `selectiveScan`, token by token from the last:
  ///
  ///     G_t = dy_t ⊗ C_t + a_{t+1} G_{t+1}                    the gradient of h_t
  ///     dC = h_t dy,   dB = w G x,   dx = w G B + D dy,   dD = dy · x
  ///     da = ⟨G, h_{t-1}⟩,   dstep = da · a · A + sB ⟨G, x ⊗ B⟩,   d ln|A| = da · a · A · step
  ///
  /// O(T · H · N · P) time, and memory for every state.
  ///
  /// - Parameters:
  ///   - outputs: the loss's gradient with respect to y, T × (H·P).
  ///   - finalState: that with respect to the state after the last token, (H·N) × P.
  package static func selectiveScanBackward<Real: NaiveReal>(
    _ inputs: SelectiveScanInputs<Real>, outputs: [Real], finalState: [Real]
  ) -> SelectiveScanGradients<Real> {
    var gradients = SelectiveScanGradients(like: inputs)
    for head in inputs.heads.indices {
      HeadBackward(inputs, head: head).run(outputs: outputs, finalState: finalState, into: &gradients)
    }
    return gradients
  }
}

/// The backward of one head.
private struct HeadBackward<Real: NaiveReal> {
  private let inputs: SelectiveScanInputs<Real>
  private let head: Int
  private let width: Int
  private let size: Int
  private let group: Int
  /// The state after t tokens, N × P, for t from 0 to T.
  private var states: [[Real]]
  private var steps: [Real] = []
  private var retentions: [Real] = []

  init(_ inputs: SelectiveScanInputs<Real>, head: Int) {
    self.inputs = inputs
    self.head = head
    width = inputs.x.count / inputs.tokens / inputs.heads.count
    size = inputs.b.count / inputs.tokens / inputs.groups
    group = head / (inputs.heads.count / inputs.groups)
    let count = size * width
    states = [Array(inputs.state[head * count..<(head + 1) * count])]
    for t in 0..<inputs.tokens { forward(t) }
  }

  private mutating func forward(_ t: Int) {
    let gate = inputs.heads[head]
    let raw = Naive.softplus(inputs.dt[t * inputs.heads.count + head] + Real(gate.bias))
    var step = min(max(raw, Real(gate.minimum)), Real(gate.maximum)) * Real(gate.scale)
    if step < Real(gate.threshold) { step = 0 }
    let retention = Real.exponential(Real(gate.rate) * step + Real(gate.logRetention))
    var next = states[t]
    for n in 0..<size {
      for p in 0..<width {
        next[n * width + p] = retention * next[n * width + p] + Real(gate.insertion) * step * x(t, p) * b(t, n)
      }
    }
    steps.append(step)
    retentions.append(retention)
    states.append(next)
  }

  private func x(_ t: Int, _ p: Int) -> Real { inputs.x[(t * inputs.heads.count + head) * width + p] }
  private func b(_ t: Int, _ n: Int) -> Real { inputs.b[(t * inputs.groups + group) * size + n] }
  private func c(_ t: Int, _ n: Int) -> Real { inputs.c[(t * inputs.groups + group) * size + n] }

  func run(outputs: [Real], finalState: [Real], into gradients: inout SelectiveScanGradients<Real>) {
    let count = size * width
    let gate = inputs.heads[head]
    var g = Array(finalState[head * count..<(head + 1) * count])
    for t in (0..<inputs.tokens).reversed() {
      let row = (t * inputs.heads.count + head) * width
      let column = (t * inputs.groups + group) * size
      let insertion = Real(gate.insertion) * steps[t]
      var retained: Real = 0
      var inserted: Real = 0
      for p in 0..<width {
        gradients.skip[head] += outputs[row + p] * x(t, p)
        gradients.x[row + p] += inputs.skip[head] * outputs[row + p]
      }
      for n in 0..<size {
        for p in 0..<width {
          let place = n * width + p
          g[place] += outputs[row + p] * c(t, n)
          gradients.c[column + n] += states[t + 1][place] * outputs[row + p]
          gradients.b[column + n] += insertion * g[place] * x(t, p)
          gradients.x[row + p] += insertion * g[place] * b(t, n)
          retained += g[place] * states[t][place]
          inserted += g[place] * x(t, p) * b(t, n)
          g[place] *= retentions[t]
        }
      }
      let decayed = retained * retentions[t] * Real(gate.rate)
      gradients.logRate[head] += decayed * steps[t]
      let raw = throughGate(decayed + Real(gate.insertion) * inserted, t)
      gradients.dt[t * inputs.heads.count + head] += raw
      gradients.bias[head] += raw
    }
    for place in 0..<count { gradients.state[head * count + place] = g[place] }
  }

  /// From the gradient of a step back to that of dt before softplus; nothing passes a bound or a filter that holds.
  private func throughGate(_ gradient: Real, _ t: Int) -> Real {
    let gate = inputs.heads[head]
    let input = inputs.dt[t * inputs.heads.count + head] + Real(gate.bias)
    let step = Naive.softplus(input)
    guard steps[t] != 0, step > Real(gate.minimum), step < Real(gate.maximum) else { return 0 }
    return gradient * Real(gate.scale) / (1 + Real.exponential(-input))
  }
}
