import Glibc
import MeanderTasks
import Testing

@Suite struct ScalingLawTests {
  private let sizes = [0.13, 0.3, 0.6, 0.9, 1.3, 1.9, 2.8, 4.1]

  private func points(_ length: (Double) -> Double) -> [ScalingLaw.Point] {
    sizes.map { ScalingLaw.Point(size: $0, length: length($0)) }
  }

  @Test func eachLawFindsItsOwnConstants() throws {
    let line = try #require(ScalingLaw.linear.fit(points { 5172 * $0 - 100 }))
    #expect(abs(line.constants[0] - 5172) < 1e-6 && abs(line.constants[1] + 100) < 1e-6 && line.explained > 0.999999)
    let power = try #require(ScalingLaw.power.fit(points { 900 * pow($0, 1.4) }))
    #expect(abs(power.constants[0] - 900) < 1e-6 && abs(power.constants[1] - 1.4) < 1e-9)
    let growth = try #require(ScalingLaw.exponential.fit(points { 4756 * expm1(0.31 * $0) + 300 }))
    #expect(abs(growth.constants[1] - 0.31) < 0.01, "\(growth)")
    #expect(abs(growth.length(at: 2) - (4756 * expm1(0.62) + 300)) < 10)
  }

  @Test func theRightLawForetellsTheSizeThatWasLeftOut() throws {
    let curved = points { 300 * expm1(1.1 * $0) + 200 }
    let errors = try ScalingLaw.allCases.map { try #require($0.leaveOneOut(curved)) }
    #expect(errors[2] < errors[0] && errors[2] < errors[1])
    #expect(errors[2] < 0.02)
    // Three sizes on a line, and one at twice of what they foretell.
    let bent =
      [0.5, 1.0, 1.5].map { ScalingLaw.Point(size: $0, length: 1000 * $0) } + [ScalingLaw.Point(size: 4, length: 8000)]
    #expect(try #require(ScalingLaw.linear.leaveOneOut(bent)) > 0.99 * log(2) / 2)
    let straight = points { 4000 * $0 + 20 }
    let wrong = try #require(ScalingLaw.power.leaveOneOut(straight))
    #expect(try #require(ScalingLaw.linear.leaveOneOut(straight)) < 0.1 * wrong)
  }

  @Test func tooFewSizesAreNotFitted() {
    let two = [0.5, 0.5, 1.0].map { ScalingLaw.Point(size: $0, length: 100 * $0) }
    #expect(ScalingLaw.allCases.allSatisfy { $0.fit(two) == nil && $0.leaveOneOut(two) == nil })
    #expect(ScalingLaw.linear.fit(points { $0 - 1 }) == nil, "lengths below nothing")
  }

  @Test func aBandHoldsTheLawAndWidensWithTheNoise() throws {
    let exact = try #require(ScalingLaw.linear.band(points { 1000 * $0 + 50 }, at: 2))
    #expect(abs(exact.lowerBound - 2050) < 1 && abs(exact.upperBound - 2050) < 1)
    let noisy = points { (1000 * $0 + 50) * (Int($0 * 10).isMultiple(of: 2) ? 1.3 : 0.8) }
    let wide = try #require(ScalingLaw.linear.band(noisy, at: 2))
    #expect(wide.upperBound - wide.lowerBound > 100)
  }
}
