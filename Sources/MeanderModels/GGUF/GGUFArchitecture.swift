import MeanderErrors
import MeanderFiles

/// What GGUF files call an architecture, its settings and its tensors. One line in `Registry.ggufArchitectures` adds another;
/// what the settings and tensors mean is the `Architecture`'s own affair, which is given both under its own names.
package struct GGUFArchitecture: Sendable {
  /// Settings as files hold them, without the architecture's name before them.
  typealias Settings = [(String, GGUFWriter.Value)]

  /// `general.architecture`, which the names of the settings begin with.
  let name: String
  /// The settings as a `config.json` of the architecture would say them.
  let configuration: @Sendable (inout GGUFSettings) throws -> [(String, JSON)]
  /// The settings of an architecture of ours; nil where it is another one. Throws `.unsupported` for a model that such files
  /// cannot tell of.
  let settings: @Sendable (any Architecture) throws -> Settings?
  /// The tensors and their names.
  let tensors: [GGUFTensor]
  /// What files multiply into a tensor's rows, one behind the other, where the architecture has it apart.
  var factors: @Sendable (any Architecture, GGUFTensor) -> [(rows: Int, factor: Float)] = { _, _ in [] }
  /// Tensors that files hold and nobody reads, each a copy of another.
  var copies: [(stored: String, of: String)] = []
  /// Tensors that files hold and the settings have read already.
  var told: [String] = []
  /// Those tensors of a model of ours, which is one that `settings` knows.
  var constants: @Sendable (any Architecture) -> [(name: String, values: [Float])] = { _ in [] }

  init(
    _ name: String, tensors: [GGUFTensor], settings: @escaping @Sendable (any Architecture) throws -> Settings?,
    configuration: @escaping @Sendable (inout GGUFSettings) throws -> [(String, JSON)]
  ) {
    (self.name, self.tensors, self.settings, self.configuration) = (name, tensors, settings, configuration)
  }

  /// What files may call the tensor that the architecture calls `name`, the usual one first.
  func matches(_ name: String, _ sizes: GGUFSizes) -> [GGUFTensor.Match] {
    tensors.flatMap { tensor in
      tensor.names.compactMap { pattern in
        guard let numbers = GGUFTensor.numbers(in: name, by: pattern), tensor.isUsed?(sizes) ?? true else { return nil }
        return GGUFTensor.Match(tensor: tensor, layer: numbers["#"] ?? 0, expert: numbers["@"] ?? 0)
      }
    }
  }
}

/// A tensor's name in GGUF files and in its architecture, and what was done to it on the way.
struct GGUFTensor: Sendable {
  /// What GGUF files call it, `#` standing for a layer's number; more names than one where its rows stand apart there.
  let stored: [String]
  /// What the architecture calls it, in each layout of its checkpoints; `@` stands for an expert's number.
  let names: [String]
  let form: Form
  /// Whether it is called so in a file of these sizes; nil where it always is.
  var isUsed: (@Sendable (GGUFSizes) -> Bool)?

  init(_ stored: String, _ name: String, _ form: Form = .same, alternative: String? = nil) {
    self.init([stored], name, form, alternative: alternative)
  }

  init(_ stored: [String], _ name: String, _ form: Form = .same, alternative: String? = nil) {
    (self.stored, names, self.form) = (stored, [name] + [alternative].compactMap { $0 }, form)
  }

  /// How a tensor is kept in a GGUF file, against how the architecture is told of it.
  struct Form: Sendable {
    var shape = Shape.same
    var rows = Rows.same
    var values = TensorValues.asStored

    enum Shape {
      case same
      /// Without its dimensions of one.
      case squeezed
      /// A vector, stored as a column.
      case column
      /// A vector, stored as a row for each group.
      case groups
      /// All numbers in one row.
      case flat
    }

    enum Rows: Sendable {
      case same
      /// Rows of each head in the order of neighbouring rotary pairs: queries, or keys.
      case queries, keys
      /// One of so many vectors, stored as count × 1 × 1 × width.
      case slice(Int, of: Int)
      /// One of all experts' tensors, which are stored as one.
      case expert
      /// The last two dimensions are stored the other way round.
      case turned
      /// In parts: the shapes of the stored tensors, and where the rows are in them.
      case apart(@Sendable (_ shape: [Int], _ sizes: GGUFSizes) -> (shapes: [[Int]], runs: [RowRun])?)
    }

    static let same = Form()
    static let squeezed = Form(shape: .squeezed)
    static let column = Form(shape: .column)
    static let groups = Form(shape: .groups)
    static let flat = Form(shape: .flat)
    /// The logarithm of the numbers less their sign: A of a state space model, a number for each head as a column.
    static let logarithm = Form(values: .logarithmOfNegative)
    static let logarithmColumn = Form(shape: .column, values: .logarithmOfNegative)
    /// Weights of norms that the architecture has less one.
    static let lessOne = Form(values: .lessOne)
    static let queries = Form(rows: .queries)
    static let keys = Form(rows: .keys)
    static let expert = Form(rows: .expert)
    static let turned = Form(rows: .turned)
    static func slice(_ index: Int, of count: Int) -> Form { Form(rows: .slice(index, of: count)) }
  }

  /// A tensor that was found by its name.
  struct Match {
    let tensor: GGUFTensor
    let layer: Int
    let expert: Int

    /// The names in the file.
    var stored: [String] { tensor.stored.map { $0.replacing("#", layer) } }
  }

  /// Where the rows of a tensor are in the stored ones.
  struct Placement {
    /// Of each stored tensor, outermost dimension first.
    var shapes: [[Int]]
    /// Of a row.
    var columns: Int
    /// nil where they are as they are.
    var runs: [RowRun]?
    var isTurned = false
  }
}

extension GGUFTensor.Match {
  /// Where a tensor of `shape` is; nil where the sizes make no sense of it.
  func placement(_ shape: [Int], _ sizes: GGUFSizes) -> GGUFTensor.Placement? {
    let (count, columns) = (shape.reduce(1, *), shape.last ?? 1)
    switch tensor.form.rows {
    case .same:
      return tensor.form.storedShape(shape, sizes).map { .init(shapes: [$0], columns: columns) }
    case .queries, .keys:
      var heads = sizes.value("attention.head_count", layer) ?? 1
      if case .keys = tensor.form.rows { heads = sizes.value("attention.head_count_kv", layer) ?? heads }
      guard let rows = shape.first, heads > 0, rows.isMultiple(of: 2 * heads) else { return nil }
      let half = rows / heads / 2
      let runs = (0..<heads).flatMap { head in
        (0..<2).map { RowRun(first: 2 * head * half + $0, step: 2, count: half) }
      }
      return .init(shapes: [shape], columns: shape.count > 1 ? columns : 1, runs: runs)
    case .slice(let index, let slices):
      return .init(shapes: [[slices, 1, 1, count]], columns: count, runs: [RowRun(first: index, count: 1)])
    case .expert:
      guard let experts = sizes.value("expert_count", layer), columns > 0 else { return nil }
      let rows = count / columns
      return .init(shapes: [[experts] + shape], columns: columns, runs: [RowRun(first: expert * rows, count: rows)])
    case .turned:
      guard shape.count >= 2 else { return nil }
      let stored = shape.dropLast(2) + [columns, shape[shape.count - 2]]
      return .init(shapes: [Array(stored)], columns: columns, isTurned: true)
    case .apart(let place):
      return place(shape, sizes).map { .init(shapes: $0.shapes, columns: columns, runs: $0.runs) }
    }
  }
}

extension GGUFTensor.Form {
  fileprivate func storedShape(_ shape: [Int], _ sizes: GGUFSizes) -> [Int]? {
    let count = shape.reduce(1, *)
    switch self.shape {
    case .same: return shape
    case .squeezed: return shape.squeezed
    case .column: return [count, 1]
    case .flat: return [count]
    case .groups:
      guard let groups = sizes.value("ssm.group_count", 0), groups > 0, count.isMultiple(of: groups) else { return nil }
      return [groups, count / groups]
    }
  }
}

extension GGUFTensor {
  /// The numbers that `#` and `@` of a pattern stand for in `name`; nil where it is another name.
  static func numbers(in name: String, by pattern: String) -> [Character: Int]? {
    var (rest, found) = (Substring(name), [Character: Int]())
    for letter in pattern {
      if letter == "#" || letter == "@" {
        let digits = rest.prefix { $0.isASCII && $0.isNumber }
        guard let number = Int(digits), number <= 1 << 24 else { return nil }
        found[letter] = number
        rest = rest.dropFirst(digits.count)
      } else {
        guard rest.first == letter else { return nil }
        rest = rest.dropFirst()
      }
    }
    return rest.isEmpty ? found : nil
  }
}

extension String {
  /// The same with a number in the place of `letter`.
  fileprivate func replacing(_ letter: Character, _ number: Int) -> String {
    split(separator: letter, omittingEmptySubsequences: false).joined(separator: String(number))
  }
}

extension [Int] {
  /// Without the dimensions of one, which some writers leave out.
  var squeezed: [Int] { filter { $0 != 1 } }
}

/// What the settings in a GGUF file count, by their names there.
struct GGUFSizes: Sendable {
  /// Of a setting, and of one layer where the layers differ.
  let value: @Sendable (_ key: String, _ layer: Int) -> Int?

  init(_ value: @escaping @Sendable (String, Int) -> Int?) { self.value = value }

  init(_ settings: GGUFArchitecture.Settings) {
    value = { key, layer in
      switch settings.first(where: { $0.0 == key })?.1 {
      case .count(let count): count
      case .counts(let counts): counts.indices.contains(layer) ? counts[layer] : nil
      default: nil
      }
    }
  }
}

extension GGUFArchitecture {
  /// How the tensors that an architecture declares are made of a file's.
  func recipes(_ declared: [TensorDeclaration], of store: TensorStore, _ sizes: GGUFSizes) -> [TensorRecipe] {
    declared.compactMap { declaration in
      let found = matches(declaration.name, sizes)
      guard let match = found.first(where: { $0.stored.allSatisfy { store[$0] != nil } }) ?? found.first else { return nil }
      let stored = match.stored
      if copies.contains(where: { $0.stored == stored[0] }) { return nil }
      guard let placement = match.placement(declaration.shape, sizes),
        zip(stored, placement.shapes).allSatisfy({ store[$0]?.shape.squeezed == $1.squeezed })
      else {
        // As it is stored, to be found mis-shaped.
        return stored.first.flatMap { store[$0] }.map { TensorRecipe(declaration.name, $0.shape, from: [$0.name]) }
      }
      return TensorRecipe(
        declaration.name, declaration.shape, from: stored, columns: placement.columns, runs: placement.runs,
        isTurned: placement.isTurned, values: match.tensor.form.values)
    }
  }
}
