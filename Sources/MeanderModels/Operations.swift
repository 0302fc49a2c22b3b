import MeanderErrors
import MeanderKernels

/// The three ways to compute one recurrence. They share a signature and agree on outputs, final state and gradients.
package enum RecurrenceForm: String, Sendable, CaseIterable {
  /// As the paper writes it, token by token in double precision: what the others are held against.
  case naive
  /// Token by token with the state in cache: what streams. Its bits do not depend on how the input was cut.
  case scan
  /// By products of matrices inside chunks of tokens, the state handed on between them: what trains.
  case chunk
}

/// What a mixer reads: T normalised rows of width D, or tokens whose first projection stands in a table.
package struct MixerInput {
  /// T × D.
  package let rows: Matrix
  /// The T tokens themselves, where this is the first step: a projection of an embedding depends on the token alone.
  package let tokens: ArraySlice<Int32>?
  /// How many tokens the stream had before the first row.
  package let position: Int64

  /// T × what one step leaves for later ones; nil where none does.
  package let carried: Matrix?

  package init(rows: Matrix, tokens: ArraySlice<Int32>? = nil, position: Int64, carried: Matrix? = nil) {
    (self.rows, self.tokens, self.position, self.carried) = (rows, tokens, position, carried)
  }

  package var count: Int { rows.rows }

  /// The last `count` rows.
  package func suffix(_ count: Int) -> MixerInput {
    MixerInput(
      rows: rows.rows(rows.rows - count..<rows.rows), tokens: tokens.map { $0.suffix(count) },
      position: position + Int64(rows.rows - count), carried: carried?.rows(rows.rows - count..<rows.rows))
  }
}

/// The differentiable operations that every mixer is written over.
///
/// Each allocates its output in the arena, computes it, and, where a tape runs, records how to go back. Without a tape
/// nothing is recorded, and residuals are added in place.
package struct Operations {
  package let kernels: Kernels
  package let arena: Arena
  package var form = RecurrenceForm.scan
  package var tape: Tape?
  /// How many times in a row the recurrent states are moved by these tokens, whose outputs are those of the first time: the
  /// affine power of a stretch that repeats itself, exact where the inputs of a layer repeat themselves. For training alone.
  package var repeats = 1
  /// Whether blocks are computed again on the way back, instead of being kept.
  package var recomputes = false
  /// What training drops, if anything.
  package var dropped: Dropout?
  /// What calibration and mining look at.
  package var stepObserver: (any StepObserver)?
  /// Where the time goes, while a tape runs.
  package var clock = KernelClock()
  /// Told on the way back that every gradient of a layer is complete.
  package var completed: ((_ layer: Int) -> Void)?

  /// With a tape, the recurrence is computed in chunks.
  package init(kernels: Kernels, arena: Arena, form: RecurrenceForm = .scan, tape: Tape? = nil) {
    self.kernels = kernels
    self.arena = arena
    self.form = tape == nil ? form : .chunk
    self.tape = tape
  }

  /// Whom to tell of complete gradients, and on which tape.
  var announcement: (Tape, (Int) -> Void)? {
    guard let tape, let completed else { return nil }
    return (tape, completed)
  }

  /// Measures the way forth where a tape runs; streams do without.
  func timed<Result>(_ kind: KernelClock.Kind, _ body: () -> Result) -> Result {
    tape == nil ? body() : clock.measure(kind, body)
  }

  /// x·Wᵀ + bias, T × outputs.
  package func project(_ input: MixerInput, _ weight: Weight) -> Matrix {
    let y = arena.matrix(rows: input.count, columns: weight.packed.outputs)
    if let tokens = input.tokens, let table = weight.table {
      for (row, token) in tokens.enumerated() {
        y.rows(row..<row + 1).copy(from: table.rows(Int(token)..<Int(token) + 1))
      }
    } else {
      timed(.product) { kernels.product(input.rows, weight.packed, bias: weight.bias, into: y, adding: false) }
    }
    recordProduct(input.rows, weight, y)
    return y
  }

  /// x·Wᵀ + bias, T × outputs.
  package func project(_ x: Matrix, _ weight: Weight) -> Matrix {
    project(MixerInput(rows: x, position: 0), weight)
  }

  /// x·Wᵀ into `y`, T × outputs: a part of a wider matrix.
  package func project(_ x: Matrix, _ weight: Weight, into y: Matrix) {
    timed(.product) { kernels.product(x, weight.packed, bias: weight.bias, into: y, adding: false) }
    recordProduct(x, weight, y)
  }

  /// residual + x·Wᵀ + bias: in place without a tape, T × outputs.
  package func project(_ x: Matrix, _ weight: Weight, addingTo residual: Matrix) -> Matrix {
    var y = residual
    if tape != nil {
      y = arena.matrix(rows: residual.rows, columns: residual.columns)
      y.copy(from: residual)
    }
    timed(.product) { kernels.product(x, weight.packed, bias: weight.bias, into: y, adding: true) }
    recordProduct(x, weight, y, residual: residual)
    return y
  }

  /// The embedding rows of `tokens`, T × D.
  package func embed(_ tokens: ArraySlice<Int32>, _ weight: Weight) -> Matrix {
    let y = arena.matrix(rows: tokens.count, columns: weight.packed.inner)
    timed(.embedding) { kernels.embed(tokens, weight.packed, into: y) }
    recordEmbedding(tokens, weight, y)
    return y
  }

  /// The norm of each row, T × D.
  package func norm(_ x: Matrix, _ norm: Norm) -> Matrix {
    let y = arena.matrix(rows: x.rows, columns: x.columns)
    switch norm.kind {
    case .rootMeanSquare:
      timed(.norm) { kernels.rootMeanSquareNorm(x, weight: norm.weight, epsilon: norm.epsilon, into: y) }
      recordNorm(x, gate: nil, weight: norm.weight, source: norm.source, epsilon: norm.epsilon, groups: 1, y)
    case .layer:
      timed(.norm) { kernels.layerNorm(x, weight: norm.weight, bias: norm.bias, epsilon: norm.epsilon, into: y) }
      recordLayerNorm(x, norm, y)
    }
    return y
  }

  /// norm(x · silu(z)), each of `groups` equal parts of a row by itself, T × inner.
  package func gatedRootMeanSquareNorm(_ x: Matrix, gate z: Matrix, weight: Matrix, epsilon: Float, groups: Int) -> Matrix {
    let y = arena.matrix(rows: x.rows, columns: x.columns)
    timed(.norm) { kernels.gatedRootMeanSquareNorm(x, gate: z, weight: weight, epsilon: epsilon, groups: groups, into: y) }
    recordNorm(x, gate: z, weight: weight, source: weight, epsilon: epsilon, groups: groups, y)
    return y
  }

  /// softplus(x + bias), T × columns.
  package func softplus(_ x: Matrix, bias: Matrix?) -> Matrix {
    let y = arena.matrix(rows: x.rows, columns: x.columns)
    kernels.softplus(x, bias: bias, into: y)
    record(y) { dy, gradients, kernels in
      // The slope of softplus is the sigmoid.
      let slope = Matrix(rows: x.rows, columns: x.columns)
      slope.copy(from: x)
      if let bias { kernels.add(bias, into: slope) }
      kernels.activate(slope, .sigmoid, into: slope)
      kernels.multiply(dy, into: slope)
      kernels.add(slope, to: gradients.of(x))
      if let bias, let dbias = gradients.wanted(bias) { kernels.addRows(of: slope, to: dbias) }
    }
    return y
  }

  /// The causal depthwise convolution of width K, with silu behind it unless `silu` is false, T × C.
  ///
  /// `window` (K × C) holds the last K inputs, oldest first; the oldest is kept for other frameworks' sake alone.
  package func causalConvolution(_ x: Matrix, window: Matrix, weight: ConvolutionWeight, silu: Bool = true) -> Matrix {
    let y = arena.matrix(rows: x.rows, columns: x.columns)
    let width = window.rows
    guard x.rows > 0 else { return y }
    let oldest = window.rows(0..<1)
    let next = x.rows < width ? window.rows(x.rows..<x.rows + 1) : x.rows(x.rows - width..<x.rows - width + 1)
    oldest.copy(from: next)
    let taps = window.rows(1..<width)
    recordConvolution(x, taps: taps, weight: weight, silu: silu, y)
    timed(.convolution) {
      kernels.causalConvolution(x, taps: taps, weight: weight.taps, bias: weight.bias, silu: silu, into: y)
    }
    return y
  }
}
