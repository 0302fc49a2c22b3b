import MeanderErrors
import MeanderFiles
import MeanderKernels

/// RetNet (Sun and others 2023), in the layout of flash-linear-attention.
package struct RetNet: LinearArchitecture {
  package static let name = "retnet"

  let stack: LinearStack
  private let mixer: GatedHeads.Sizes

  package static func configuration(of shape: StateShape) -> [(String, JSON)]? {
    shape.linearMembers(name, heads: shape.heads(times: 2)) + [("expand_v", JSON(2))]
  }

  package init(_ configuration: inout Configuration) throws {
    stack = try LinearStack(&configuration, ratio: 2)
    mixer = try GatedHeads.Sizes(&configuration, stack, heads: 8, keys: 1, values: 2)
    guard mixer.stateSize % 2 == 0 else {
      throw configuration.failure("num_heads", "gives heads of \(mixer.stateSize) keys, and rotary positions turn pairs")
    }
  }

  package var arithmetic: String { "\(stack.arithmetic) \(mixer.arithmetic)" }

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
  let heads: GatedHeads
  let rotary: Rotary

  init(_ sizes: GatedHeads.Sizes, prefix: String, from reader: WeightReader) throws {
    heads = try GatedHeads(sizes, prefix: prefix, from: reader)
    rotary = RotaryScaling().rotary(width: sizes.stateSize)
  }

  private var sizes: GatedHeads.Sizes { heads.sizes }
  var memory: LinearState { heads.memory(decays: 1) }

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
    let q = operations.scale(turned(asked, heads.query), by: heads.queryScale)
    let read = memory.scan(
      LinearInputs(
        q: q, k: turned(input, heads.key), v: operations.project(input, heads.value),
        decay: operations.constantDecays(decays, rows: input.count), heads: sizes.heads), state, operations)
    return heads.output(read, asked, residual: residual, operations)
  }

  var exchangeReason: String { "its heads forget at constant rates, without gates or a time step" }

  var scratchPerToken: Int {
    6 * (sizes.keys + 16) + 2 * (sizes.stateSize + 16) + 6 * (sizes.values + 16) + 16 * sizes.heads + 16
      + memory.scratch(removes: false)
  }
}
