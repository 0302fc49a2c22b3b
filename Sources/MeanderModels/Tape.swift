import MeanderErrors

/// The record of a forward pass that a backward pass walks in reverse.
///
/// The gradient of an activation stands at the same offset of a twin arena, so that views of rows and columns need no
/// bookkeeping. Operations report themselves here as they run.
package final class Tape {
  /// The kinds of operation that a tape knows.
  package enum Kind: String, Sendable {
    case product, embedding, norm, activation, convolution, recurrence
  }

  package private(set) var recorded: [Kind] = []

  package init() {}

  func record(_ kind: Kind) { recorded.append(kind) }
}
