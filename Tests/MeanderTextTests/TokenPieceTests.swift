import MeanderText
import Testing

@Test func piecesCompareByIdAndEnd() {
  #expect(TokenPiece(id: 3, end: 4) != TokenPiece(id: 3, end: 5))
}
