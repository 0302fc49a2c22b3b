import MeanderErrors
import MeanderKernels

/// The record of a forward pass that a backward pass walks in reverse.
///
/// Each operation leaves a closure that reads the gradient of its output and adds to those of its inputs. Where a gradient
/// stands is told by `Gradients`, so views of rows and columns need no bookkeeping.
package final class Tape {
  package let gradients: Gradients
  private var steps: [() -> Void] = []
  /// The first operation that has no way back, if one ran.
  private var blocked: String?

  package init(_ gradients: Gradients) { self.gradients = gradients }

  package func record(_ step: @escaping () -> Void) { steps.append(step) }

  package func block(_ operation: String) { blocked = blocked ?? operation }

  /// Walks back to the beginning and forgets what was recorded.
  ///
  /// Throws `.unsupported` when an operation ran that has no way back.
  package func backward() throws(MeanderError) {
    if let blocked {
      throw MeanderError(
        .unsupported, "\(blocked) cannot be trained", remedy: "Train an architecture of another mixer, such as mamba2.")
    }
    walk()
  }

  func walk() {
    while let step = steps.popLast() { step() }
  }
}

/// Where the gradient of every number of a training run stands: at the number's own place in a twin of its storage.
///
/// One owner at a time: each worker of a trainer has gradients of its own.
package final class Gradients {
  private var twins: [ObjectIdentifier: Storage] = [:]
  /// The storages of `twins`' keys, kept alive so that no other object takes one's identity.
  private var originals: [ObjectIdentifier: Storage] = [:]

  package init() {}

  /// Gives `storage` a twin of zeros, or takes `twin` for it.
  @discardableResult
  package func adopt(_ storage: Storage, twin: Storage? = nil) -> Storage {
    let twin = twin ?? Storage(byteCount: storage.byteCount)
    twins[ObjectIdentifier(storage)] = twin
    originals[ObjectIdentifier(storage)] = storage
    return twin
  }

  /// Makes a part of a storage's gradients zero.
  package func clear(_ storage: Storage, _ range: Range<Int>) { twins[ObjectIdentifier(storage)]?.clear(range) }

  package func forget(_ storage: Storage) {
    twins[ObjectIdentifier(storage)] = nil
    originals[ObjectIdentifier(storage)] = nil
  }

  /// The gradient of a number that was computed, or of a state. Traps for a storage that nobody adopted.
  package func of(_ matrix: Matrix) -> Matrix {
    guard let gradient = wanted(matrix) else { preconditionFailure("a matrix without a gradient") }
    return gradient
  }

  /// The gradient of a parameter; nil where the parameter is frozen, or there is none.
  package func wanted(_ matrix: Matrix?) -> Matrix? {
    guard let matrix, let twin = twins[ObjectIdentifier(matrix.storage)] else { return nil }
    return matrix.twin(in: twin)
  }
}
