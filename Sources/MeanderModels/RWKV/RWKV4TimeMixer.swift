import MeanderErrors
import MeanderFiles
import MeanderKernels

/// The time mixing of RWKV-4 (Peng and others 2023): an average of all values so far, weighed by exp of their keys and decayed
/// per channel. With u' the row before u, and lerps x_i = mix_i ∘ u + (1 - mix_i) ∘ u':
///
///     k = W_k x_k,  v = W_v x_v,  r = σ(W_r x_r),  w = -exp(decay)
///     y = (a + exp(first + k) v) / (b + exp(first + k))
///     a = exp(w) a + exp(k) v,   b = exp(w) b + exp(k)
///     out = W_o (r ∘ y)
///
/// a and b are kept times exp(-m), m being the largest exponent so far, so that no exp overflows.
package struct RWKV4TimeMixer: Mixer {
  /// D, and the channels of the memory.
  let width, inner: Int
  /// 1 × D
  let keyMix, valueMix, receptanceMix: Matrix
  /// 1 × inner
  let decay, first: Matrix
  let key, value, receptance, output: Weight

  init(width: Int, inner: Int, prefix: String, from reader: WeightReader) throws {
    (self.width, self.inner) = (width, inner)
    keyMix = try reader.mixRow(prefix + "time_mix_key", count: width)
    valueMix = try reader.mixRow(prefix + "time_mix_value", count: width)
    receptanceMix = try reader.mixRow(prefix + "time_mix_receptance", count: width)
    decay = try reader.row(prefix + "time_decay", count: inner)
    first = try reader.row(prefix + "time_first", count: inner)
    key = try reader.weight(prefix + "key.weight", outputs: inner, inner: width)
    value = try reader.weight(prefix + "value.weight", outputs: inner, inner: width)
    receptance = try reader.weight(prefix + "receptance.weight", outputs: inner, inner: width)
    output = try reader.weight(prefix + "output.weight", outputs: width, inner: inner)
  }

  private static let (shift, sum, weight, largest, sumRest, weightRest) = (0, 1, 2, 3, 4, 5)

  package func declareState(in layout: inout StateLayout, layer: String) -> [StateRegion] {
    [layout.append("\(layer).att_shift", .f32, [width])]
      + [("num", .recurrence), ("den", .recurrence), ("max", .other), ("num_rest", .rest), ("den_rest", .rest)].map {
        (name: String, role: StateRegion.Role) in layout.append("\(layer).\(name)", .f32, [inner], role: role)
      }
  }

  package func forward(
    _ input: MixerInput, state: MixerState, outputs: Int, residual: Matrix, _ operations: Operations
  ) -> Matrix {
    let x = input.rows
    let before = operations.shifted(x, last: state.matrix(Self.shift))
    func mixed(_ mix: Matrix) -> Matrix { operations.addProduct(x, before, operations.oneMinus(mix)) }
    let k = operations.project(mixed(keyMix), key)
    let v = operations.project(mixed(valueMix), value)
    let rate = operations.multiply(operations.exponential(decay), by: operations.constant(-1, columns: inner))
    let exponents = operations.keyExponents(
      k, decay: rate, first: first, largest: state.matrix(Self.largest), weight: state.matrix(Self.weight))
    let (written, old, own) = (
      operations.exponential(exponents.written), operations.exponential(exponents.old), operations.exponential(exponents.own)
    )
    func memory(_ input: Matrix, _ region: Int, _ rest: Int) -> Matrix {
      let begin = operations.kept(state.matrix(region), plus: state.matrix(rest))
      let after = operations.channelRecurrence(
        input, decay: exponents.decay, state: state.matrix(region), rest: state.matrix(rest))
      return operations.delayed(after, first: begin)
    }
    let sums = memory(operations.multiply(written, by: v), Self.sum, Self.sumRest)
    let weights = memory(written, Self.weight, Self.weightRest)
    guard outputs > 0 else { return residual }
    let above = operations.addProduct(operations.multiply(sums, by: old), own, v)
    let below = operations.addProduct(own, weights, old)
    let averaged = operations.divide(above, by: below)
    let opened = operations.project(mixed(receptanceMix), receptance)
    let read = operations.activate(opened, .sigmoid, times: averaged)
    return operations.project(read.rows(read.rows - outputs..<read.rows), output, addingTo: residual)
  }

  package var gaugedHeads: Int { 1 }

  /// One head, the weighed values. What is left of its first token differs by channel and key.
  package func readings(of state: MixerState, kernels: Kernels) -> [HeadReading] {
    [HeadReading(ofAll: state.matrix(Self.sum), kernels: kernels)]
  }

  package var gating: MixerGating { .fixed(reason: "its average divides by its own weights, and it has no time step") }

  package func referenceState(_ state: MixerState) -> [ReferenceTensor] {
    let regions = [("att_shift", Self.shift), ("num", Self.sum), ("den", Self.weight), ("max", Self.largest)]
    return regions.map { name, region in
      let values = state.matrix(region).array()
      return ReferenceTensor(name: name, shape: [values.count], values: values)
    }
  }

  package var scratchPerToken: Int { 12 * (width + 16) + 24 * (inner + 16) }
}

/// The exponents of a run of RWKV-4, T × I each, all relative to the largest one of their time.
struct KeyExponents {
  /// Of what the memory keeps, and of what a token writes to it.
  let decay, written: Matrix
  /// Of the memory before a token, and of the token itself, where both are read.
  let old, own: Matrix
}

extension Operations {
  /// 1 - x
  func oneMinus(_ x: Matrix) -> Matrix { offset(multiply(x, by: constant(-1, columns: x.columns)), by: 1) }

  /// Keys made relative to the largest exponent so far, `largest` (1 × I, moved on), which counts as none while `weight` is
  /// zero. What is read does not depend on it, so no gradient goes through it.
  func keyExponents(_ k: Matrix, decay: Matrix, first: Matrix, largest: Matrix, weight: Matrix) -> KeyExponents {
    let (tokens, channels) = (k.rows, k.columns)
    func rows() -> Matrix { arena.matrix(rows: tokens, columns: channels) }
    let result = KeyExponents(decay: rows(), written: rows(), old: rows(), own: rows())
    for channel in 0..<channels {
      var before = weight[0, channel] == 0 ? -1e30 : largest[0, channel]
      let (w, u) = (decay[0, channel], first[0, channel])
      for t in 0..<tokens {
        let key = k[t, channel]
        let read = max(before, u + key)
        let after = max(before + w, key)
        result.old[t, channel] = before - read
        result.own[t, channel] = u + key - read
        // While nothing was written there is nothing to keep.
        result.decay[t, channel] = max(before + w - after, -1e4)
        result.written[t, channel] = key - after
        before = after
      }
      largest[0, channel] = before
    }
    if let tape {
      let (kernels, gradients) = (kernels, tape.gradients)
      tape.record {
        kernels.addRows(of: gradients.of(result.decay), to: gradients.of(decay))
        let (down, dk) = (gradients.of(result.own), gradients.of(k))
        kernels.add(gradients.of(result.written), to: dk)
        kernels.add(down, to: dk)
        if let dfirst = gradients.wanted(first) { kernels.addRows(of: down, to: dfirst) }
      }
    }
    return result
  }

  /// The true state before a run, 1 × I, whose gradient joins the state's own once that stands before the run.
  func kept(_ state: Matrix, plus rest: Matrix) -> Matrix {
    let y = arena.matrix(rows: 1, columns: state.columns)
    y.copy(from: state)
    kernels.add(rest, into: y)
    record(y) { dy, gradients, kernels in kernels.add(dy, to: gradients.of(state)) }
    return y
  }

  /// The row before each, T × I; `first` (1 × I) stands before the first one.
  func delayed(_ x: Matrix, first: Matrix) -> Matrix {
    let (y, count) = (arena.matrix(rows: x.rows, columns: x.columns), x.rows)
    guard count > 0 else { return y }
    y.rows(0..<1).copy(from: first)
    if count > 1 { y.rows(1..<count).copy(from: x.rows(0..<count - 1)) }
    record(y) { dy, gradients, kernels in
      kernels.add(dy.rows(0..<1), to: gradients.of(first))
      if count > 1 { kernels.add(dy.rows(1..<count), to: gradients.of(x).rows(0..<count - 1)) }
    }
    return y
  }

  /// x / y, number by number.
  func divide(_ x: Matrix, by y: Matrix) -> Matrix {
    let inverse = arena.matrix(rows: y.rows, columns: y.columns)
    for row in 0..<y.rows { for column in 0..<y.columns { inverse[row, column] = 1 / y[row, column] } }
    record(inverse) { dinverse, gradients, kernels in
      let part = Matrix(rows: y.rows, columns: y.columns)
      part.copy(from: inverse)
      kernels.multiply(inverse, into: part)
      kernels.multiply(dinverse, into: part)
      kernels.add(part, scale: -1, to: gradients.of(y))
    }
    return multiply(x, by: inverse)
  }
}
