import Glibc
import MeanderErrors
import MeanderFiles
import MeanderKernels
import MeanderModels

/// Hyena's filters: no tap is a parameter, a small network makes all of them of their lags' places (Poli and others 2023).
///
///     p(s) = [s/S, Re e^(-i f_1 2π s/L) …, Im e^(-i f_1 2π s/L) …]       S = L - 1, f from 1e-4 to E' - 1 in even steps
///     h(s) = W_out sin(w ∘ (W sin(w ∘ (… p(s) + b)) + b)) ∘ (exp(-δ s/S) + shift)
///
/// L is the filter's length, E' = (E - 1) / 2 the number of frequencies, w is trained, and δ goes from ln(1/target)/slow to
/// ln(1/target)/fast over the channels.
package struct ImplicitFilter: Sendable {
  package struct Sizes: Sendable {
    /// E, an odd number of features.
    package var features = 33
    /// The width of the network, and how many layers it has between the first and the last.
    package var width = 64
    package var hidden = 2
    /// What w begins as.
    package var frequency = 14.0
    package var shift: Float = 0
    package var fast = 0.3
    package var slow = 1.5
    package var target = 0.01

    /// Reads the keys that begin with `filter_`.
    init(_ configuration: inout Configuration) throws {
      features = try configuration.integer("filter_features", features, in: 3...1023)
      guard !features.isMultiple(of: 2) else { throw configuration.failure("filter_features", "must be an odd number") }
      width = try configuration.integer("filter_width", width, in: 1...1 << 14)
      hidden = try configuration.integer("filter_layers", hidden, in: 0...64)
      frequency = try configuration.float("filter_frequency", frequency, in: 1e-3...1e4)
      shift = Float(try configuration.float("filter_shift", 0, in: 0...1))
      fast = try configuration.float("filter_fast_decay", fast, in: 1e-3...1e3)
      slow = try configuration.float("filter_slow_decay", slow, in: 1e-3...1e3)
      target = try configuration.float("filter_decay_target", target, in: 1e-9...0.999)
    }

    var arithmetic: String {
      "features \(features) width \(width) hidden \(hidden) shift \(shift) decay \(fast) \(slow) \(target)"
    }

    /// δ of each of `count` channels, which the stages share.
    func decays(_ count: Int) -> [Float] {
      let rate = -log(target)
      return (0..<count).map { index in
        let share = count > 1 ? Double(index) / Double(count - 1) : 0
        return Float(rate / slow + (rate / fast - rate / slow) * share)
      }
    }
  }

  let sizes: Sizes
  let length: Int
  /// W_in, the W between, W_out; all but the last with a bias.
  let first: Weight
  let hidden: [Weight]
  let last: Weight
  /// w, 1 × width.
  let frequency: Matrix
  /// -δ of all stages' channels.
  private let decays: [Float]

  /// Reads the network whose tensors are called `prefix`in.weight and so on.
  init(
    _ sizes: Sizes, channels: Int, stages: Int, length: Int, prefix: String, from reader: WeightReader
  ) throws {
    (self.sizes, self.length) = (sizes, length)
    first = try reader.weight(
      prefix + "in.weight", outputs: sizes.width, inner: sizes.features, bias: prefix + "in.bias")
    hidden = try (0..<sizes.hidden).map {
      try reader.weight(
        "\(prefix)hidden.\($0).weight", outputs: sizes.width, inner: sizes.width, bias: "\(prefix)hidden.\($0).bias")
    }
    last = try reader.weight(prefix + "out.weight", outputs: stages * channels, inner: sizes.width)
    frequency = try reader.row(prefix + "frequency", count: sizes.width)
    let own = sizes.decays(channels).map { -$0 }
    decays = (0..<stages).flatMap { _ in own }
  }

  /// Bytes that `rows` allocates for `count` lags.
  func arenaByteCount(_ count: Int) -> Int {
    let widths = sizes.features + 3 * (hidden.count + 1) * (sizes.width + 1) + 3 * (decays.count + 1) + 16
    return 4 * (count + 16) * widths + (1 << 16)
  }

  /// Lags `range`, each a row of all stages' channels. A row does not depend on the rows beside it.
  func rows(_ range: Range<Int>, _ operations: Operations) -> Matrix {
    var x = place(features(range), columns: sizes.features, operations)
    for weight in [first] + hidden {
      x = operations.sine(operations.multiply(operations.project(x, weight), by: frequency))
    }
    return operations.multiply(
      operations.project(x, last), by: place(window(range), columns: decays.count, operations))
  }

  /// The first `count` lags, in runs that need little memory.
  func rows(_ count: Int, _ kernels: Kernels) -> Matrix {
    let lags = Matrix(rows: count, columns: decays.count)
    let run = 1024
    let arena = Arena(byteCount: arenaByteCount(run))
    let operations = Operations(kernels: kernels, arena: arena)
    for start in stride(from: 0, to: count, by: run) {
      let range = start..<min(count, start + run)
      arena.reset()
      lags.rows(range).copy(from: rows(range, operations))
    }
    return lags
  }

  /// Numbers in the arena, where a tape looks for their gradients.
  private func place(_ values: [Float], columns: Int, _ operations: Operations) -> Matrix {
    let matrix = operations.arena.matrix(rows: values.count / columns, columns: columns)
    matrix.copy(from: Matrix(values, rows: matrix.rows, columns: columns))
    return matrix
  }

  private func features(_ range: Range<Int>) -> [Float] {
    let bands = (sizes.features - 1) / 2
    let frequencies = (0..<bands).map { bands > 1 ? 1e-4 + (Double(bands) - 1 - 1e-4) * Double($0) / Double(bands - 1) : 1e-4 }
    return range.flatMap { lag -> [Float] in
      let angles = frequencies.map { $0 * 2 * Double.pi * Double(lag) / Double(length) }
      return [share(lag)] + angles.map { Float(cos($0)) } + angles.map { Float(-sin($0)) }
    }
  }

  private func window(_ range: Range<Int>) -> [Float] {
    range.flatMap { lag in decays.map { Float(exp(Double($0) * Double(share(lag)))) + sizes.shift } }
  }

  /// Where a lag lies between 0 and 1.
  private func share(_ lag: Int) -> Float { Float(Double(lag) / Double(max(1, length - 1))) }
}

extension Operations {
  /// sin(x), T × columns.
  func sine(_ x: Matrix) -> Matrix {
    let y = arena.matrix(rows: x.rows, columns: x.columns)
    let values = x.array()
    y.copy(from: Matrix(values.map { sin($0) }, rows: x.rows, columns: x.columns))
    record(y) { dy, gradients, kernels in
      let slope = Matrix(values.map { cos($0) }, rows: dy.rows, columns: dy.columns)
      kernels.multiply(dy, into: slope)
      kernels.add(slope, to: gradients.of(x))
    }
    return y
  }
}
