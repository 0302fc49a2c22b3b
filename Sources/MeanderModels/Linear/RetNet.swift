import MeanderErrors
import MeanderFiles
import MeanderKernels

/// RetNet (Sun and others 2023), in the layout of flash-linear-attention.
package struct RetNet: LinearArchitecture {
  package static let name = "retnet"

  let stack: LinearStack
  private let mixer: RetentionMixer.Sizes

  package static func configuration(of shape: StateShape) -> [(String, JSON)]? {
    shape.linearMembers(name, heads: shape.heads(times: 2)) + [("expand_v", JSON(2))]
  }

  package init(_ configuration: inout Configuration) throws {
    stack = try LinearStack(&configuration, ratio: 2)
    let width = stack.shape.width
    let heads = try configuration.integer("num_heads", 8, in: 1...1 << 16)
    let keys = try configuration.expanded("expand_k", 1, width: width, heads: heads)
    let values = try configuration.expanded("expand_v", 2, width: width, heads: heads)
    guard keys / heads % 2 == 0 else {
      throw configuration.failure("num_heads", "gives heads of \(keys / heads) keys, and rotary positions turn pairs")
    }
    mixer = RetentionMixer.Sizes(
      width: width, heads: heads, stateSize: keys / heads, headWidth: values / heads, epsilon: stack.epsilon)
    try configuration.requireOwnKeys(heads: heads)
    try configuration.require("use_output_gate", true)
    configuration.ignore(["conv_size"])
  }

  package var arithmetic: String {
    "\(stack.arithmetic) heads \(mixer.heads) keys \(mixer.stateSize) values \(mixer.headWidth)"
  }

  package func build(from reader: WeightReader) throws -> Blocks {
    try stack.build(from: reader) { _, prefix in try RetentionMixer(mixer, prefix: prefix, from: reader) }
  }
}

/// Multi-scale retention (Sun and others 2023): a linear attention whose heads forget at constant rates, with rotary positions.
///
///     q = turn(W_q u) / √N,   k = turn(W_k u),   v = W_v u
///     S = γ S + k ⊗ v,   γ = 1 - 2^(-5 - h) for head h,   y = q S
///     out = W_out (silu(W_g u) ∘ norm(y)),   a norm of each head
struct RetentionMixer: LinearMixer {
  struct Sizes: Sendable {
    /// D
    var width: Int
    /// H
    var heads: Int
    /// N and P.
    var stateSize, headWidth: Int
    /// ε of the norm of y.
    var epsilon: Float
  }

  let sizes: Sizes
  let rotary: Rotary
  let query, key, value, gate, out: Weight
  let norm: Norm

  /// Reads the layer whose tensors are called `prefix`q_proj.weight and so on.
  init(_ sizes: Sizes, prefix: String, from reader: WeightReader) throws {
    self.sizes = sizes
    let (keys, values) = (sizes.heads * sizes.stateSize, sizes.heads * sizes.headWidth)
    func weight(_ name: String, _ outputs: Int) throws -> Weight {
      try reader.weight(prefix + name + ".weight", outputs: outputs, inner: sizes.width)
    }
    rotary = RotaryScaling().rotary(width: sizes.stateSize)
    (query, key) = (try weight("q_proj", keys), try weight("k_proj", keys))
    (value, gate) = (try weight("v_proj", values), try weight("g_proj", values))
    out = try reader.weight(prefix + "o_proj.weight", outputs: sizes.width, inner: values)
    norm = try reader.rootMeanSquareNorm(prefix + "g_norm_swish_gate.weight", width: sizes.headWidth, epsilon: sizes.epsilon)
  }

  var memory: LinearState {
    LinearState(heads: sizes.heads, size: sizes.stateSize, width: sizes.headWidth, decays: 1, first: 0)
  }

  /// ln γ.
  private var decays: [Float] {
    (0..<sizes.heads).map { Float(logarithm(1 - exponential(-Double(5 + $0) * logarithm(2)))) }
  }

  func forward(
    _ input: MixerInput, state: MixerState, outputs: Int, residual: Matrix, _ operations: Operations
  ) -> Matrix {
    let asked = input.suffix(outputs)
    func turned(_ input: MixerInput, _ weight: Weight) -> Matrix {
      operations.rotate(
        operations.project(input, weight), by: operations.angles(rotary, input.position, count: input.count),
        headWidth: sizes.stateSize)
    }
    let q = operations.scale(turned(asked, query), by: 1 / Float(sizes.stateSize).squareRoot())
    let read = memory.scan(
      LinearInputs(
        q: q, k: turned(input, key), v: operations.project(input, value),
        decay: operations.constantDecays(decays, rows: input.count), heads: sizes.heads), state, operations)
    guard outputs > 0 else { return residual }
    let opened = operations.project(asked, gate)
    return operations.project(
      operations.activate(opened, .silu, times: operations.normHeads(read, norm)), out, addingTo: residual)
  }

  var exchangeReason: String { "its heads forget at constant rates, without gates or a time step" }

  var scratchPerToken: Int {
    let (keys, values) = (sizes.heads * sizes.stateSize, sizes.heads * sizes.headWidth)
    return 6 * (keys + 16) + 2 * (sizes.stateSize + 16) + 6 * (values + 16) + 16 * sizes.heads + 16
      + memory.scratch(removes: false)
  }
}
