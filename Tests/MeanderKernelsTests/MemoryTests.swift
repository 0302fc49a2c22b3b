import MeanderKernels
import Testing

@Suite struct MemoryTests {
  @Test func `views share the numbers of what they view`() {
    let matrix = Matrix([1, 2, 3, 4, 5, 6], rows: 2, columns: 3)
    let corner = matrix.rows(1..<2).columns(1..<3)
    #expect(corner.array() == [5, 6])
    corner[0, 1] = 9
    #expect(matrix.array() == [1, 2, 3, 4, 5, 9])
    matrix.columns(0..<1).fill(0)
    #expect(matrix.array() == [0, 2, 3, 0, 5, 9])
    let copy = Matrix(rows: 2, columns: 2)
    copy.copy(from: matrix.columns(1..<3))
    #expect(copy.array() == [2, 3, 5, 9])
    #expect(matrix.rows(2..<2).array().isEmpty)
  }

  @Test func `matrices and doubles share a storage by offset`() {
    let storage = Storage(byteCount: 64)
    let doubles = Doubles(storage, offset: 16, count: 2)
    doubles[1] = 2.5
    let floats = Matrix(storage, offset: 24, rows: 1, columns: 2)
    #expect(floats.array().map(\.bitPattern) == [0, UInt32(2.5.bitPattern >> 32)])
    doubles.fill(1)
    #expect(doubles.array() == [1, 1])
  }

  @Test func `an arena hands out apart what it has not handed out since the mark`() {
    let arena = Arena(byteCount: 3 * 64)
    let first = arena.matrix(rows: 1, columns: 3)
    let mark = arena.mark()
    let second = arena.matrix(rows: 2, columns: 9)
    first.fill(1)
    second.fill(2)
    #expect(first.array() == [1, 1, 1])
    arena.release(to: mark)
    let third = arena.matrix(rows: 1, columns: 16)
    third.fill(3)
    #expect(second[0, 0] == 3)
    arena.reset()
    #expect(arena.mark() == 0)
  }
}
