import MeanderErrors
import MeanderFiles
import MeanderText

/// A run of tokens that the model reads in one go, and what it should say after each of them.
public struct Segment: Sendable, Hashable {
  /// T ids.
  public var tokens: [Int32]
  /// T ids: what follows each token.
  public var targets: [Int32]
  /// T factors on the loss of each target; 0 where nothing is to be learned.
  public var weights: [Float]
  /// How many times the state is moved by this segment. More than once is the affine power of the first pass: exact in the
  /// first layer, an approximation above it (`Operations.repeats`). Its own loss counts once.
  public var repeats: Int

  /// Traps unless the three have one length, and `repeats` is at least 1.
  public init(tokens: [Int32], targets: [Int32], weights: [Float], repeats: Int = 1) {
    precondition(tokens.count == targets.count && tokens.count == weights.count && repeats >= 1, "a segment of mismatched lengths")
    self.tokens = tokens
    self.targets = targets
    self.weights = weights
    self.repeats = repeats
  }
}

/// One row of a batch: segments that are read one after the other.
public struct Sample: Sendable, Hashable {
  public var segments: [Segment]
  /// Whether it is read from the state that the lane's last sample left, with the gradient stopped between the two.
  public var continues: Bool

  public init(_ segments: [Segment], continues: Bool = false) {
    self.segments = segments
    self.continues = continues
  }
}

/// Where a training run takes its samples from: one file and one line in `DataSources`.
///
/// A source belongs to one run and is asked by one thread. It never holds a corpus in memory, and what it gives depends on
/// its options, its seed and its position alone, so that a resumed run reads what an uninterrupted one would have read.
package protocol DataSource: AnyObject {
  /// What recipes call it.
  static var name: String { get }

  /// Reads the source's part of a recipe; `options` is consumed but not finished.
  init(_ options: inout Configuration, _ context: SourceContext) throws

  /// The next sample of a lane, its segments of at most `length` tokens each.
  ///
  /// A lane is one row of the batch through all steps: a source that carries states gives a lane its documents in order.
  func next(lane: Int, length: Int) throws -> Sample

  /// What share of the answers that this source asked for in the last step was right, in [0, 1]: what a curriculum goes by.
  func learned(_ accuracy: Double)

  /// Everything that decides what comes next.
  var position: JSON { get }

  /// Goes on from a position that a source with the same options and context gave.
  func restore(_ position: JSON) throws
}

extension DataSource {
  package func learned(_ accuracy: Double) {}
}

/// What every source of a run is given.
package struct SourceContext: Sendable {
  package let tokenizer: Tokenizer
  /// B, how many lanes ask.
  package let lanes: Int
  package let seed: UInt64
  /// The folder that relative paths of a recipe start from.
  package let folder: String

  package init(tokenizer: Tokenizer, lanes: Int, seed: UInt64, folder: String) {
    self.tokenizer = tokenizer
    self.lanes = lanes
    self.seed = seed
    self.folder = folder
  }
}
