import MeanderErrors

/// How much of the past attention keeps. Recurrent mixers have no use for it.
public enum ContextBound: Sendable, Hashable {
  /// The first `globals` tokens and the last `locals`, in constant memory for a stream of any length (Han and others 2024,
  /// LM-Infinite). Nil leaves what the model was made for: 16 and its trained length, 2048 at most, or its own window alone.
  case bounded(globals: Int?, locals: Int?)
  /// Every token, in at most `bytes` of memory for a session; a stream that would need more ends with an error.
  case full(bytes: Int)

  /// What the model was made for.
  public static let standard = ContextBound.bounded(globals: nil, locals: nil)
}

/// The bounds of one model's attention layers, once its configuration is known.
package struct AttentionBound: Sendable, Hashable {
  package var globals: Int
  package var locals: Int
  /// How many tokens the cache holds where it holds all of them.
  package var capacity: Int?

  /// Global tokens where nobody says how many.
  private static let usualGlobals = 16
  /// The largest window where nobody says how wide.
  private static let usualLocals = 2048
  /// The largest sliding window that is kept whole without being asked for.
  private static let largestWindow = 4096

  /// Whether a layer's own window bounds it already.
  package static func isKeptWhole(_ window: Int?) -> Bool { window.map { $0 <= largestWindow } ?? false }

  package init(globals: Int, locals: Int, capacity: Int? = nil) {
    (self.globals, self.locals, self.capacity) = (globals, locals, capacity)
  }

  /// - Parameters:
  ///   - positions: how many tokens the model was trained on at a time.
  ///   - window: the model's own sliding window of this layer.
  ///   - bytesPerToken: what a token takes in all layers' caches together.
  package init(_ bound: ContextBound, positions: Int, window: Int?, bytesPerToken: Int) throws {
    let own = Self.isKeptWhole(window) ? window : nil
    switch bound {
    case .bounded(let globals, let locals):
      let range = 1...1 << 20
      if let globals, !(0...1 << 16).contains(globals) {
        throw MeanderError(.badRequest, "\(globals) global tokens cannot be kept", remedy: "Give 0 to 65536.")
      }
      if let locals, !range.contains(locals) {
        throw MeanderError(.badRequest, "a window of \(locals) tokens cannot be kept", remedy: "Give 1 to \(range.upperBound).")
      }
      self.locals = min(locals ?? own ?? min(positions, Self.usualLocals), window ?? .max)
      self.globals = globals ?? (own == nil ? Self.usualGlobals : 0)
    case .full(let bytes):
      guard (1...1 << 44).contains(bytes) else {
        throw MeanderError(.badRequest, "a cache of \(bytes) bytes cannot be kept", remedy: "Give 1 to \(1 << 44).")
      }
      let tokens = min(bytes / max(1, bytesPerToken), 1 << 31) / 16 * 16
      guard tokens >= 16 else {
        throw MeanderError(
          .limit, "\(bytes) bytes hold \(tokens) tokens, each of which takes \(bytesPerToken) bytes in this model's cache",
          remedy: "Give at least \(16 * bytesPerToken) bytes.")
      }
      globals = 0
      locals = min(window ?? .max, tokens)
      // A layer with a window of its own needs no more than that.
      capacity = own == nil ? tokens : nil
    }
  }

  /// Slots of the ring: what a token sees, and the run of tokens that joins at a time.
  var ring: Int { capacity ?? (locals + Operations.attentionRun - 1 + 15) / 16 * 16 }
}
