import MeanderKernels
import MeanderTestSupport
import Testing

/// What goes on between transforms: each table has the reference's bits, and they are what they should be.
@Suite struct SpectraTests {
  @Test(arguments: everyTable) func `sums of spectra have the reference's bits, however many are asked for`(
    table: KernelTable
  ) throws {
    let scalar = try KernelTable.named("scalar")
    for columns in [16, 48, 256, 608] {
      let (x, h) = (Matrix.random(9, columns, seed: 1), Matrix.random(9, columns, seed: 2))
      for (first, outputs) in [(1, 9), (1, 1), (3, 4), (5, 5), (9, 1)] {
        let (expected, y) = (Matrix(rows: outputs, columns: columns), Matrix(rows: outputs, columns: columns))
        scalar.sumSpectra(x, by: h, first: first, into: expected)
        table.sumSpectra(x, by: h, first: first, into: y)
        #expect(bits(y) == bits(expected))
        let one = Matrix(rows: 1, columns: columns)
        for output in 0..<outputs {
          table.sumSpectra(x, by: h, first: first + output, into: one)
          #expect(bits(one) == bits(expected.rows(output..<output + 1)))
        }
      }
    }
  }

  @Test func `sums of spectra are products of complex numbers`() throws {
    let (x, h, y) = (Matrix.random(3, 32, seed: 3), Matrix.random(3, 32, seed: 4), Matrix(rows: 2, columns: 32))
    KernelTable.best.sumSpectra(x, by: h, first: 2, into: y)
    for output in 0..<2 {
      for place in 0..<16 {
        var (real, imaginary) = (0.0, 0.0)
        for input in 0..<2 + output {
          let piece = 2 + output - input - 1
          let (a, b) = (Double(x[input, 2 * place]), Double(x[input, 2 * place + 1]))
          let (c, d) = (Double(h[piece, 2 * place]), Double(h[piece, 2 * place + 1]))
          (real, imaginary) = (real + a * c - b * d, imaginary + a * d + b * c)
        }
        #expect(abs(Double(y[output, 2 * place]) - real) < 1e-5 && abs(Double(y[output, 2 * place + 1]) - imaginary) < 1e-5)
      }
    }
  }

  @Test(arguments: everyTable) func `turning and turning back have the reference's bits`(table: KernelTable) throws {
    let scalar = try KernelTable.named("scalar")
    let (early, late) = (Matrix.random(1, 48, seed: 5), Matrix.random(1, 48, seed: 6))
    let (turns, numbers) = (Matrix.random(1, 96, seed: 7), Matrix.random(1, 96, seed: 8))
    for (first, second) in [(early, nil), (nil, late), (early, late), (nil, nil)] as [(Matrix?, Matrix?)] {
      let (expected, turned) = (Matrix(rows: 1, columns: 96), Matrix(rows: 1, columns: 96))
      scalar.turn(early: first, late: second, by: turns, into: expected)
      table.turn(early: first, late: second, by: turns, into: turned)
      #expect(bits(turned) == bits(expected))
    }
    for (isLate, adding) in [(false, false), (false, true), (true, false), (true, true)] {
      let (expected, y) = (early.copied(), early.copied())
      scalar.turnBack(numbers, by: turns, isLate: isLate, adding: adding, into: expected)
      table.turnBack(numbers, by: turns, isLate: isLate, adding: adding, into: y)
      #expect(bits(y) == bits(expected))
    }
  }

  @Test func `turning by numbers of size one is undone by turning back`() {
    let turns = Matrix(rows: 1, columns: 32)
    for t in 0..<16 { (turns[0, 2 * t], turns[0, 2 * t + 1]) = t % 2 == 0 ? (0.6, 0.8) : (0, 1) }
    let (early, late) = (Matrix.random(1, 16, seed: 9), Matrix.random(1, 16, seed: 10))
    let (turned, y) = (Matrix(rows: 1, columns: 32), Matrix(rows: 1, columns: 16))
    KernelTable.best.turn(early: early, late: late, by: turns, into: turned)
    for (isLate, expected) in [(false, early), (true, late)] {
      KernelTable.best.turnBack(turned, by: turns, isLate: isLate, adding: false, into: y)
      expectClose(y.array(), expected.array(), "turned", within: 1e-6)
    }
  }

  @Test(arguments: [(1, 1), (16, 16), (5, 40), (40, 5), (33, 70)]) func `a transpose is one`(rows: Int, columns: Int) {
    let (x, y) = (Matrix.random(rows, columns, seed: 11), Matrix.random(columns, rows, seed: 12))
    let before = y.copied()
    y.addTransposed(x)
    for row in 0..<rows { for column in 0..<columns { #expect(y[column, row] == before[column, row] + x[row, column]) } }
    y.copyTransposed(from: x)
    for row in 0..<rows { for column in 0..<columns { #expect(y[column, row] == x[row, column]) } }
  }
}
