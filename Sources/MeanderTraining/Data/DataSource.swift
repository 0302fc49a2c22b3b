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
  /// What the model reads, in this order.
  public var segments: [Segment]
  /// Whether it is read from the state that the lane's last sample left, with the gradient stopped between the two.
  public var continues: Bool

  /// A row of these segments.
  public init(_ segments: [Segment], continues: Bool = false) {
    self.segments = segments
    self.continues = continues
  }
}

/// Where a training run takes its samples from.
///
/// A source belongs to one run and is asked by one thread. What it gives must depend on how it was made and on its position
/// alone: a resumed run then reads what an uninterrupted one would have read. The sources that recipes can name never hold a
/// corpus in memory.
public protocol DataSource: AnyObject {
  /// The next sample of a lane, its segments of at most `length` tokens each.
  ///
  /// A lane is one row of the batch through all steps: a source that carries states gives a lane its documents in order.
  func next(lane: Int, length: Int) throws -> Sample

  /// What share of the answers that this source asked for in the last step was right, in [0, 1]: what a curriculum goes by.
  func learned(_ accuracy: Double)

  /// Everything that decides what comes next.
  var position: SourcePosition { get }

  /// Goes on from a position that a source which was made in the same way gave.
  func restore(_ position: SourcePosition) throws
}

extension DataSource {
  /// Nothing: most sources have no curriculum.
  public func learned(_ accuracy: Double) {}
}

/// Where a source stands, as a JSON value: what a checkpoint keeps of it.
public struct SourcePosition: Sendable, Equatable {
  package let json: JSON

  package init(_ json: JSON) { self.json = json }

  /// A position from its JSON text. Throws `.badData` where the text is no JSON.
  public init(text: String) throws { json = try JSON.parse(FileBytes(Array(text.utf8), path: "a source's position")) }

  /// The position as JSON text.
  public var text: String { String(decoding: json.write(), as: UTF8.self) }
}

/// A source that recipes can name: one file and one line in `DataSources`.
package protocol RecipeSource: DataSource {
  /// What recipes call it.
  static var name: String { get }

  /// Reads the source's part of a recipe; `options` is consumed but not finished.
  init(_ options: inout Configuration, _ context: SourceContext) throws

  /// Called before step `step` is drawn, with the model as it then is.
  func prepare(step: Int, _ miner: NegativeMiner) throws
}

extension RecipeSource {
  package func prepare(step: Int, _ miner: NegativeMiner) throws {}
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
