import MeanderErrors
import MeanderFiles
import MeanderKernels

/// The numbers that training changes: every tensor of a checkpoint by name, in fp32, in one storage.
///
/// Moments and gradients are twins of that storage, so that the optimiser needs no bookkeeping either.
package final class Parameters {
  package struct Entry: Sendable {
    package let name: String
    package let shape: [Int]
    /// Where its numbers begin, in bytes; a multiple of 64.
    package let offset: Int

    package var count: Int { shape.reduce(1, *) }
    /// All dimensions but the last taken together, by the last; a vector is one row, and a convolution's C × 1 × K is C × K.
    package var rows: Int { shape.count < 2 ? 1 : count / columns }
    package var columns: Int { shape.last ?? 1 }
  }

  package let entries: [Entry]
  package let storage: Storage
  private let byName: [String: Entry]

  private let declarations: [TensorDeclaration]

  /// Zeros for each of the declared tensors that is not optional.
  package init(_ declarations: [TensorDeclaration]) {
    var offset = 0
    self.declarations = declarations
    entries = declarations.filter { !$0.optional }.map { declaration in
      let entry = Entry(name: declaration.name, shape: declaration.shape, offset: offset)
      offset += (entry.count * 4 + 63) & ~63
      return entry
    }
    storage = Storage(byteCount: offset)
    byName = Dictionary(uniqueKeysWithValues: entries.map { ($0.name, $0) })
  }

  /// How many numbers there are.
  package var count: Int { entries.reduce(0) { $0 + $1.count } }

  /// The tensor called `name`, which must have been declared.
  package func matrix(_ name: String) -> Matrix {
    guard let entry = byName[name] else { preconditionFailure("no parameter \(name)") }
    return matrix(entry)
  }

  package func matrix(_ entry: Entry) -> Matrix {
    Matrix(storage, offset: entry.offset, rows: entry.rows, columns: entry.columns)
  }

  /// The tensor's numbers in another storage of the same layout: a gradient, a moment, an average.
  package func matrix(_ entry: Entry, in twin: Storage) -> Matrix { matrix(entry).twin(in: twin) }

  /// Takes what a smaller model's checkpoint has: each layer from the layer of it that `layers` names, and everything outside the
  /// layers. A layer that comes from none stays as it is, but that what it writes to the residual stream becomes zero: the model
  /// then computes what the smaller one does, and learns from there what its new layers are good for. All problems are reported
  /// together; `.badData` where a layer is not named at all.
  package func grow(from store: TensorStore, layers: [Int?]) throws {
    var taken: [(entry: Entry, name: String)] = []
    for entry in entries {
      var parts = entry.name.split(separator: ".").map(String.init)
      guard let place = parts.indices.dropFirst().first(where: { parts[$0 - 1] == "layers" }), let number = Int(parts[place]) else {
        taken.append((entry, entry.name))
        continue
      }
      guard layers.indices.contains(number) else {
        throw MeanderError(
          .badData, "the model has a layer \(number), and 'start_layers' names \(layers.count)", at: entry.name,
          remedy: "Name a layer of the start, or null, for each layer.")
      }
      if let source = layers[number] {
        parts[place] = String(source)
        taken.append((entry, parts.joined(separator: ".")))
      } else if StackInitialization.residualOutputs.contains(where: entry.name.hasSuffix) {
        matrix(entry).fill(0)
      }
    }
    try store.check(taken.map { TensorDeclaration($0.name, $0.entry.shape) })
    for (entry, name) in taken {
      matrix(entry).copy(from: Matrix(try store.floats(name), rows: entry.rows, columns: entry.columns))
    }
  }

  /// Takes every tensor from a checkpoint, all problems reported together.
  package func read(_ store: TensorStore) throws {
    try store.check(declarations)
    for entry in entries {
      matrix(entry).copy(from: Matrix(try store.floats(entry.name), rows: entry.rows, columns: entry.columns))
    }
  }
}
