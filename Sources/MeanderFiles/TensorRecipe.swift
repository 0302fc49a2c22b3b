import Glibc
import MeanderErrors

/// How a tensor that a model asks for is made of those that one file holds.
package struct TensorRecipe: Sendable {
  package var name: String
  package var shape: [Int]
  /// The stored tensors, all of one type.
  package var sources: [String]
  /// How many numbers a row has.
  package var columns: Int
  /// Where its rows are stored, in their order; nil where one tensor holds them as they are.
  package var runs: [RowRun]?
  /// Whether the last two dimensions are stored the other way round.
  package var isTurned: Bool
  package var values: TensorValues

  package init(
    _ name: String, _ shape: [Int], from sources: [String], columns: Int = 1, runs: [RowRun]? = nil, isTurned: Bool = false,
    values: TensorValues = .asStored
  ) {
    (self.name, self.shape, self.sources, self.columns) = (name, shape, sources, columns)
    (self.runs, self.isTurned, self.values) = (runs, isTurned, values)
  }
}

/// Rows of one stored tensor: `count` of them from `first` on, each `step` further.
package struct RowRun: Sendable, Equatable {
  /// Which of the stored tensors.
  package let source: Int
  package let first: Int
  package let step: Int
  package let count: Int

  package init(_ source: Int = 0, first: Int, step: Int = 1, count: Int) {
    (self.source, self.first, self.step, self.count) = (source, first, step, count)
  }
}

/// What a model's numbers are of those that a file holds.
package enum TensorValues: Sendable, Equatable {
  case asStored
  /// The logarithm of what is stored less its sign.
  case logarithmOfNegative
  /// One less than what is stored.
  case lessOne

  func apply(to values: inout [Float], at place: String) throws {
    switch self {
    case .asStored: break
    case .lessOne: for index in values.indices { values[index] -= 1 }
    case .logarithmOfNegative:
      for index in values.indices {
        guard values[index] < 0 else {
          throw MeanderError(.badData, "\(values[index]) where all numbers are below zero", at: place)
        }
        values[index] = Float(log(-Double(values[index])))
      }
    }
  }
}

extension TensorStore {
  /// The same file under a model's own names. A recipe whose tensors are not all there is passed over; one that does not fit them
  /// leaves the first as it is stored, to be found mis-shaped. Tensors that no recipe names stay, those of `unused` apart.
  ///
  /// Throws `.unsupported` for a tensor of quantised blocks that would have to be turned, and for one made of several types.
  package func arranged(_ recipes: [TensorRecipe], without unused: Set<String> = []) throws -> TensorStore {
    var left = tensors.filter { !unused.contains($0.key) }
    var result: [StoredTensor] = []
    for recipe in recipes {
      let sources = recipe.sources.compactMap { tensors[$0] }
      guard sources.count == recipe.sources.count, let first = sources.first else { continue }
      for source in recipe.sources { left[source] = nil }
      if let other = sources.first(where: { $0.entry.type != first.entry.type }) {
        throw MeanderError(
          .unsupported, "it is \(other.entry.type.rawValue), and \(first.entry.name) beside it is \(first.entry.type.rawValue)",
          at: other.place, remedy: "Quantize both to one type.")
      }
      result.append(try StoredTensor(recipe, of: sources) ?? first.named(recipe.name))
    }
    return try TensorStore(result + Array(left.values), files: files, metadata: metadata, path: path)
  }
}

extension StoredTensor {
  fileprivate func named(_ name: String) -> StoredTensor {
    StoredTensor(entry: entry.named(name), bytes: bytes, offset: offset, strides: strides)
  }

  /// Nil where the recipe does not fit the tensors.
  fileprivate init?(_ recipe: TensorRecipe, of sources: [StoredTensor]) throws {
    let first = sources[0]
    guard let entry = TensorEntry(name: recipe.name, type: first.entry.type, shape: recipe.shape) else { return nil }
    var strides: [Int]?
    if recipe.isTurned {
      guard entry.type.blocks == nil else {
        throw MeanderError(
          .unsupported, "it is \(entry.type.rawValue), and can only be read where numbers are stored one by one", at: first.place,
          remedy: "Quantize the model again, this tensor left out.")
      }
      guard entry.shape.count >= 2, entry.count == first.entry.count else { return nil }
      let (rows, columns) = (entry.shape[entry.shape.count - 2], entry.shape[entry.shape.count - 1])
      var steps = [1, rows]
      var size = rows * columns
      for dimension in entry.shape.dropLast(2).reversed() {
        steps.insert(size, at: 0)
        size *= dimension
      }
      strides = steps
    }
    self.init(entry: entry, bytes: first.bytes, offset: first.offset, strides: strides)
    values = recipe.values
    guard let runs = recipe.runs else {
      if entry.count != first.entry.count { return nil }
      return
    }
    let (columns, type) = (recipe.columns, entry.type)
    guard columns > 0, columns.isMultiple(of: type.blockCount), entry.count.isMultiple(of: columns) else { return nil }
    let rowBytes = columns / type.blockCount * type.byteCount
    var (rows, count) = (StoredRows(columns: columns), 0)
    for run in runs {
      let source = sources[run.source]
      guard run.first >= 0, run.count >= 0, run.step > 0,
        run.count == 0 || (run.first + (run.count - 1) * run.step + 1) * columns <= source.entry.count
      else { return nil }
      rows.append(offset: source.offset + run.first * rowBytes, step: run.step * rowBytes, count: run.count, after: count)
      count += run.count
    }
    guard count * columns == entry.count else { return nil }
    self.rows = rows
  }
}
