import MeanderErrors
import MeanderFiles
import MeanderKernels

/// The names that RWKV's authors give to what all their models share.
enum RWKVNames {
  /// How many layers the tensors are of.
  static func layers(_ shapes: [String: [Int]]) -> Int? {
    shapes.keys.compactMap { name -> Int? in
      let parts = name.split(separator: ".")
      return parts.count > 1 && parts[0] == "blocks" ? Int(parts[1]) : nil
    }.max().map { $0 + 1 }
  }

  /// emb → ln0 → (ln1 → time mixing, ln2 → channel mixing) → ln_out → head.
  ///
  /// - Parameter scale: what the mixers of a layer are multiplied by.
  static func blocks(
    _ shape: LanguageShape, isTied: Bool, epsilon: Float, from reader: WeightReader, scale: (_ layer: Int) -> Float = { _ in 1 },
    mixers: (_ prefix: String, _ layer: Int) throws -> (time: any Mixer, channel: any Mixer)
  ) throws -> Blocks {
    let width = shape.width
    let embedding = try reader.weight("emb.weight", outputs: shape.vocabulary, inner: width)
    let embeddingNorm = try reader.layerNorm("blocks.0.ln0.", width: width, epsilon: epsilon)
    let steps = try (0..<shape.layers).flatMap { layer in
      let prefix = "blocks.\(layer)."
      let (time, channel) = try mixers(prefix, layer)
      return [
        Block(
          layer: layer, norm: try reader.layerNorm(prefix + "ln1.", width: width, epsilon: epsilon), mixer: time,
          scale: scale(layer)),
        Block(
          layer: layer, norm: try reader.layerNorm(prefix + "ln2.", width: width, epsilon: epsilon), mixer: channel,
          scale: scale(layer)),
      ]
    }
    let head = isTied ? embedding : try reader.weight("head.weight", outputs: shape.vocabulary, inner: width)
    return Blocks(
      embedding: embedding, embeddingNorm: embeddingNorm, steps: steps,
      finalNorm: try reader.layerNorm("ln_out.", width: width, epsilon: epsilon), head: OutputHead(head))
  }
}

/// A low-rank path of RWKV: W2·f(W1·x) + bias.
struct LowRank: Sendable {
  /// R × D
  let down: Weight
  /// outputs × R, with its bias.
  let up: Weight

  /// The path in the layout of its authors: `name`1 of D × R and `name`2 of R × outputs, both turned, and the bias.
  init(_ name: String, width: Int, rank: Int, outputs: Int, bias: String?, from reader: WeightReader) throws {
    down = try reader.turnedWeight(name + "1", shape: [width, rank], inner: width, outputs: rank)
    up = try reader.turnedWeight(
      name + "2", shape: [rank, outputs], inner: rank, outputs: outputs,
      bias: try bias.map { try reader.mixRow($0, count: outputs) })
  }

  /// The path in Hugging Face's layout: `name`.lora.0.weight, `name`.lora.2.weight and, where it has one, `name`.lora.2.bias.
  init(huggingFace name: String, width: Int, rank: Int, outputs: Int, hasBias: Bool, from reader: WeightReader) throws {
    down = try reader.weight(name + ".lora.0.weight", outputs: rank, inner: width)
    up = try reader.weight(
      name + ".lora.2.weight", outputs: outputs, inner: rank, bias: hasBias ? name + ".lora.2.bias" : nil)
  }

  init(down: Weight, up: Weight) { (self.down, self.up) = (down, up) }

  func callAsFunction(_ x: Matrix, _ operations: Operations, between activation: Activation? = nil) -> Matrix {
    let inner = operations.project(x, down)
    return operations.project(activation.map { operations.activate(inner, $0) } ?? inner, up)
  }

  var scratch: Int { down.packed.outputs * 2 + up.packed.outputs + 3 * 16 }
}

extension WeightReader {
  /// A weight that the file holds turned, inner × outputs: the `index`-th of those that make up `shape`, or the one that begins
  /// at `firstRow`.
  func turnedWeight(
    _ name: String, shape: [Int], index: Int = 0, firstRow: Int? = nil, inner: Int, outputs: Int, bias: Matrix? = nil
  ) throws -> Weight {
    let values = try values(name, shape: shape)
    let row = firstRow ?? index * inner
    let first = row * outputs
    let packed = packed(outputs: outputs, inner: inner, like: name) { output, row in
      for k in 0..<inner { row[k] = values[first + k * outputs + output] }
    }
    let source = parameter(name)?.rows(row..<row + inner)
    return Weight(packed, bias: bias, biasSources: [bias].compactMap { $0 }, turnedSource: source)
  }

  /// A number for each column of each head, heads × width in the file or of that shape, as one row.
  func headRow(_ name: String, heads: Int, width: Int, shape: [Int]? = nil) throws -> Matrix {
    if let own = parameter(name) { return Matrix(own.storage, offset: own.byteOffset, rows: 1, columns: heads * width) }
    return Matrix(try values(name, shape: shape ?? [heads, width]), rows: 1, columns: heads * width)
  }

  /// A row that the file holds as 1 × 1 × count, or as `count`.
  func mixRow(_ name: String, count: Int, isFlat: Bool = false) throws -> Matrix {
    if let parameter = parameter(name) { return parameter }
    return Matrix(try values(name, shape: isFlat ? [count] : [1, 1, count]), rows: 1, columns: count)
  }
}
