/// One encoded token and where it ends in the input.
public struct TokenPiece: Hashable, Sendable {
  /// The token's id in its vocabulary.
  public var id: Int32
  /// How many bytes of the input are spoken for once this token is, counted from the start of the stream.
  public var end: Int64

  /// Token `id`, which ends behind `end` bytes of the stream.
  public init(id: Int32, end: Int64) {
    self.id = id
    self.end = end
  }
}
