import Glibc
import Meander
import MeanderErrors
import MeanderFiles
import MeanderKernels
import MeanderLongConvolution
import MeanderModels
import MeanderTestSupport
import Testing

@Suite struct DistillationTests {
  /// Sums of modes that are known, short and long (a Hankel matrix by the definition and by transforms): found again, at their order.
  @Test(arguments: [300, 4000])
  func aSumOfModesIsFoundAgain(length: Int) throws {
    let modes: [(size: Double, angle: Double, weight: Double)] = [(0.99, 0.3, 1), (0.9, 1.9, -0.7), (0.999, 0, 0.4), (-0.8, 0, 0.5)]
    var taps = (0..<length).map { lag in
      Float(modes.reduce(0.0) { $0 + $1.weight * pow($1.size, Double(lag)) * cos($1.angle * Double(lag)) })
    }
    taps[0] += 2
    let fit = try ModalFit(taps, tolerance: 1e-4, largest: 20)
    // Two pairs and two real ones.
    #expect(fit.order == 6 && fit.poles.count == 4, "\(fit.order) and \(fit.poles.count), \(fit.singular.prefix(8))")
    #expect(fit.error < 1e-5, "\(fit.error)")
    expectClose(fit.response(length).map { Float($0) }, taps, "response", within: 1e-5)
  }

  /// The error is that of the modes, and falls as more are taken; none is nearer than the Hankel matrix lets it be.
  @Test func moreModesAreNearer() throws {
    var generator = SeededGenerator(seed: 51)
    let noise = generator.normal(400)
    let taps: [Float] = noise.enumerated().map { lag, value in value / (20 * Float(1 + lag).squareRoot()) }
    var last = Double.infinity
    for order in [2, 8, 24] {
      let fit = try ModalFit(taps, tolerance: 1e-9, largest: order)
      let values = fit.response(400)
      expectClose([Float(fit.error)], [Float(relativeError(values.map { Float($0) }, taps))], "error", within: 1e-3)
      #expect(fit.order == order && fit.error < last && fit.error > 1e-6)
      last = fit.error
    }
  }

  /// Of what no few modes make up, some of it is taken, and none of it blown up: residues stay what fp32 can hold the sum of.
  @Test(arguments: [4.0, 15.0])
  func aFilterOfHighRankIsNotBlownUp(decay: Double) throws {
    var generator = SeededGenerator(seed: 52)
    let noise = generator.normal(2048)
    // Smoothed, as an implicit filter's taps are.
    let taps = (0..<2048).map { lag -> Float in
      let near = (max(0, lag - 4)...lag).map { noise[$0] }.reduce(0, +)
      return near * Float(exp(-decay * Double(lag) / 2048)) / 40
    }
    let fit = try ModalFit(taps, tolerance: 1e-3, largest: 48)
    #expect(fit.error < 1, "\(fit.error)")
    let largest = fit.residues.reduce(0) { max($0, abs($1.real), abs($1.imaginary)) }
    #expect(largest < 1e4 * (taps.map { abs($0) }.max() ?? 0), "\(largest)")
  }

  @Test func eigenvaluesAreTheRootsOfACompanion() {
    // (x - 1)(x + 2)(x² - 2x + 5)(x - 0.5): roots 1, -2, 1 ± 2i, 0.5.
    let coefficients = [5.0, -14.5, 8.5, 1.5, -1.5]
    let n = coefficients.count
    var matrix = [[Double]](repeating: [Double](repeating: 0, count: n), count: n)
    for row in 0..<n {
      if row > 0 { matrix[row][row - 1] = 1 }
      matrix[row][n - 1] = -coefficients[row]
    }
    for root in Eigenvalues.general(matrix) {
      // The polynomial at the root, by Horner's rule.
      let value = coefficients.reversed().reduce(Complex(1)) { $0 * root + Complex($1) }
      #expect(value.magnitude < 1e-10, "\(root)")
    }
    #expect(Eigenvalues.general(matrix).count == 5)
  }

  @Test(arguments: ["hyena", "hyena-striped"])
  func aDistilledModelIsARecurrentOne(fixture: String) async throws {
    LongConvolution.register()
    let folder = TemporaryFolder()
    var options = Distillation.Options()
    options.largestOrder = 20
    let channels = try Distillation.write(Fixture.path(fixture), to: folder("modal"), options, threads: 2)
    #expect(channels.count == (fixture == "hyena" ? 48 : 12))
    #expect(channels.allSatisfy { $0.error < 0.1 && $0.error > 0 && $0.modes <= 20 }, "\(channels.max { $0.error < $1.error }.map { "\($0)" } ?? "none")")
    let report = try JSON.parse(FileBytes.mapping(folder("modal/distillation.json")))
    #expect(report["channels"]?.array?.count == channels.count)

    let engine = try Engine(threads: 2)
    let exact = try await Model.load(Fixture.path(fixture), engine: engine)
    let modal = try await Model.load(folder("modal"), engine: engine)
    #expect(modal.architecture == "hyena_modal")
    if fixture == "hyena" { #expect(modal.contextTokens == nil && exact.contextTokens == 200) }
    // As far as the exact filter reaches.
    let ids = try Golden(fixture).integers("input_ids").prefix(150).map { Int32($0) }
    let (first, second, third) = (try Session(exact), try Session(modal), try Session(modal))
    try await first.feed(ids: ids)
    try await second.feed(ids: ids)
    for id in ids { try await third.feed(ids: [id]) }
    expectClose(try await second.logits(), try await first.logits(), "logits", within: 0.15)
    #expect(try await second.logits() == third.logits())
    let resumed = try await Session(modal, from: second.snapshot())
    try await resumed.feed(ids: [1, 2, 3])
    try await third.feed(ids: [1, 2, 3])
    #expect(try await resumed.logits() == third.logits())
  }

  @Test func whatIsNoLongConvolutionIsRefused() throws {
    let folder = TemporaryFolder()
    let error = #expect(throws: MeanderError.self) { try Distillation.write(Fixture.path("mamba2-tied"), to: folder("out")) }
    #expect(error?.code == .unsupported)
    var options = Distillation.Options()
    options.largestOrder = 0
    #expect(throws: MeanderError.self) { try Distillation.write(Fixture.path("hyena"), to: folder("out"), options) }
  }
}
