import MeanderFiles
import MeanderKernels
import MeanderModels
import MeanderTestSupport
import MeanderTraining
import Testing

@Suite struct OptimizerTests {
  /// Decay pulls at matrices and the embedding; A_log, D, dt_bias, norms, biases and the convolution move by the rate at most.
  @Test func decayActsOnMatricesAlone() throws {
    let bench = try TrainerTests.Bench([("optimizer", JSON([("rate", JSON(0.01)), ("decay", JSON(10.0))]))])
    let trainer = try Trainer(try Recipe(path: bench.recipe), threads: 1)
    func values() -> [(name: String, values: [Float])] {
      trainer.model.parameters.entries.map { ($0.name, trainer.model.parameters.matrix($0).array()) }
    }
    let before = values()
    _ = try trainer.advance()
    var matrices: Set<String> = []
    for (old, new) in zip(before, values()) {
      let moved = zip(old.values, new.values).map { abs($0 - $1) }.max() ?? 0
      #expect(moved > 0, "\(old.name) stood still")
      let product = zip(old.values, new.values).reduce(0) { $0 + Double($1.0 * $1.1) }
      let square = old.values.reduce(0) { $0 + Double($1 * $1) }
      if let kind = ["embeddings", "in_proj", "out_proj"].first(where: old.name.contains) {
        matrices.insert(kind)
        #expect(abs(product / square - 0.9) < 0.02, "\(old.name): \(product / square)")
      } else {
        #expect(moved < 0.0101, "\(old.name) moved by \(moved)")
      }
    }
    #expect(matrices.count == 3)
  }

  /// Three steps of one number against the formula in double precision, in every table.
  @Test(arguments: KernelTable.all.map(\.name))
  func aStepIsTheFormulas(table: String) throws {
    let kernels = Kernels(table: try .named(table), team: WorkerTeam(threads: 1), compute: .fp32)
    var generator = SeededGenerator(seed: 7)
    let start = generator.normal(21)
    let (value, first, second) = (Matrix(start, rows: 1, columns: 21), Matrix(rows: 1, columns: 21), Matrix(rows: 1, columns: 21))
    var expected = start.map { Double($0) }
    var (m, v) = ([Double](repeating: 0, count: 21), [Double](repeating: 0, count: 21))
    for step in 1...3 {
      let gradient = generator.normal(21)
      let corrections = [0.9, 0.95].map { beta in 1 / (1 - (0..<step).reduce(1.0) { product, _ in product * beta }) }
      kernels.adam(
        value, gradient: Matrix(gradient, rows: 1, columns: 21), first: first, second: second,
        Kernels.AdamStep(
          scale: 0.5, rate: 0.01, beta1: 0.9, beta2: 0.95, epsilon: 1e-8, decay: 0.1, correction1: Float(corrections[0]),
          correction2: Float(corrections[1])))
      for index in expected.indices {
        let g = 0.5 * Double(gradient[index])
        m[index] = 0.9 * m[index] + 0.1 * g
        v[index] = 0.95 * v[index] + 0.05 * g * g
        expected[index] -=
          0.01 * (m[index] * corrections[0] / ((v[index] * corrections[1]).squareRoot() + 1e-8) + 0.1 * expected[index])
      }
    }
    expectClose(value.array().map { Double($0) }, expected, "value", within: 1e-6)
    expectClose(second.array().map { Double($0) }, v, "second moment", within: 1e-6)
  }
}
