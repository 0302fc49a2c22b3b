import Meander
import MeanderErrors
import MeanderEvaluation
import MeanderFiles
import MeanderModels
import MeanderTasks
import MeanderTestSupport
import Synchronization
import Testing

/// `lab capacity`, as small as it goes.
@Suite struct CapacityTests {
  private let folder = TemporaryFolder()

  private func measurement(_ work: String) throws -> CapacityMeasurement {
    var text = logFiller.run(TaskGenerator(seed: 4))
    try AtomicFile.write(folder("train.txt"), bytes: try text.next(40_000))
    try AtomicFile.write(folder("held-out.txt"), bytes: try text.next(20_000))
    var plan = CapacityPlan.quick
    plan.sizes = [4, 8].map { CapacityPlan.Size(layers: 1, width: 16, headWidth: 16, state: $0) }
    plan.trained = [128, 256]
    plan.tokens = [16_384, 2048]
    plan.batch = 2
    plan.longest = 1024
    plan.streams = 2
    plan.samples = 2
    plan.recallLengths = [256, 300]
    return try CapacityMeasurement(
      plan: plan, text: [folder("train.txt")], heldOut: TextFiller([folder("held-out.txt")]),
      heldOutName: "held-out.txt",
      work: folder(work))
  }

  @Test func trainsMeasuresAndGoesOn() async throws {
    let whole = MeasurementRun(try measurement("a"), LabSubject(streams: 2), seed: 1, folder: folder("whole"))
    let report = try await whole.run().report
    let points = report["points"]?.array ?? []
    #expect(points.compactMap { $0["state_floats"]?.integer } == [32 * 4 + 3 * (32 + 8), 32 * 8 + 3 * (32 + 16)])
    #expect(report["stages"]?.array?.count == 4)
    // A model is as often trained as its log says: 64 steps of two rows, then four, of at most 128 and 256 tokens.
    #expect(points.allSatisfy { (1...18_432).contains($0["tokens"]?.integer ?? 0) && ($0["seconds"]?.double ?? 0) > 0 })
    #expect(report["stages"]?.array?.allSatisfy { $0["inside"]?.double ?? 0 > 0.5 } == true)
    #expect(report["fits"]?.array?.isEmpty == true, "a smoke run fits nothing")
    // Stopped in the middle of the first training, and gone on with: the same models, so the same report but for the
    // time it took.
    let parts = MeasurementRun(try measurement("b"), LabSubject(streams: 1), seed: 1, folder: folder("parts"))
    let asked = Atomic<Int>(0)
    let stopped = try await parts.run(shouldStop: { asked.add(1, ordering: .relaxed).newValue > 1 }) { _ in }
    #expect(!stopped.isComplete)
    let resumed = MeasurementRun(
      try measurement("b"), LabSubject(streams: 1), seed: 1, folder: folder("parts"), resumes: true)
    let again = try await resumed.run().report
    #expect(again["stages"]?.write() == report["stages"]?.write())
    #expect(again["results"]?.write() == report["results"]?.write())
  }

  /// Points by N at one width and points by width at one N are fitted apart, and a point that is in both counts in both.
  @Test func fitsStatesByNAndByWidthApart() throws {
    var text = logFiller.run(TaskGenerator(seed: 4))
    try AtomicFile.write(folder("text.txt"), bytes: try text.next(40_000))
    var plan = CapacityPlan.paper
    (plan.longest, plan.streams, plan.seeds) = (1024, 2, 1)
    let measurement = try CapacityMeasurement(
      plan: plan, text: [folder("text.txt")], heldOut: TextFiller([folder("text.txt")]), heldOutName: "text.txt", work: folder("none"))
    // By N recall is a thousand tokens a million floats; by width it grows as the width does beside.
    let outcomes = plan.sizes.map { size -> JSON in
      let length = size.stateFloats * size.width / 128_000
      return JSON([
        ("state_floats", JSON(size.stateFloats)), ("width", JSON(size.width)), ("state_size", JSON(size.state)), ("seed", JSON(1)),
        ("recall", JSON(length)), ("recall_is_censored", .bool(false)),
        // It holds at 256 by chance, and from 1,024 on for good; within a quarter from 2,048 on.
        (
          "stages",
          .array(
            [(256, 1.9), (512, 3), (1024, 1.5), (2048, 1.2)].map { JSON([("trained", JSON($0.0)), ("ratio", JSON($0.1))]) })
        ),
      ])
    }
    let report = JSON(measurement.report(outcomes))
    for point in report["points"]?.array ?? [] {
      #expect(point["forget"]?.integer == 1024 && point["forget_is_censored"]?.bool == false)
      #expect(point["forget_by_quarter"]?.integer == 2048 && point["forget_by_quarter_is_censored"]?.bool == false)
    }
    let linear = (report["fits"]?.array ?? []).filter { $0["law"]?.string == "linear" && $0["quantity"]?.string == "recall" }
    #expect(linear.compactMap { $0["varied"]?.string } == ["N", "width"])
    #expect(linear.compactMap { $0["points"]?.integer } == [8, 3])
    let slopes = linear.compactMap { $0["constants"]?.array?.first?.double }
    #expect(slopes.count == 2 && abs(slopes[0] - 1000) < 10 && slopes[1] > 1100)
    let titles = report["panels"]?.array?.compactMap { $0["title"]?.string }
    let quantities = [
      "training length from which it forgets", "training length from which the loss rises by less than a quarter",
      "longest length recalled",
    ]
    #expect(titles == ["N", "width"].flatMap { varied in quantities.map { "\($0), by \(varied)" } })
  }

  /// Several mixers at one state, each with what it recalls of pairs.
  @Test func comparesMixersAtEqualState() async throws {
    let mixers = ["mamba2", "mamba", "mamba3", "retnet", "gla", "hgrn2", "delta_net", "gated_deltanet", "rwkv6", "rwkv7", "xlstm"]
    #expect(Set(Registry.sizable) == Set(mixers))
    let size = CapacityPlan.Size(layers: 2, width: 64, headWidth: 32, state: 32)
    for mixer in mixers {
      let floats = try size.model(mixer).stateFloats
      #expect(floats <= size.stateFloats && Double(floats) > 0.8 * Double(size.stateFloats), "\(mixer): \(floats)")
    }
    #expect(try size.model("mamba2").stateFloats == size.stateFloats)
    #expect(throws: MeanderError.self) { try size.model("lstm") }

    var plan = CapacityPlan.quick
    plan.sizes = [CapacityPlan.Size(layers: 1, width: 32, headWidth: 16, state: 8)]
    plan.trained = [128]
    plan.tokens = [1024]
    plan.batch = 2
    plan.longest = 512
    plan.streams = 1
    plan.samples = 2
    plan.recallLengths = [256]
    plan.mixers = ["retnet", "gated_deltanet"]
    plan.pairs = [2, 4]
    var text = logFiller.run(TaskGenerator(seed: 4))
    try AtomicFile.write(folder("train.txt"), bytes: try text.next(40_000))
    let measurement = try CapacityMeasurement(
      plan: plan, text: [folder("train.txt")], heldOut: TextFiller([folder("train.txt")]), heldOutName: "train.txt",
      work: folder("mixers"))
    let report = try await MeasurementRun(measurement, LabSubject(streams: 1), seed: 1, folder: folder("compared")).run().report
    let points = report["points"]?.array ?? []
    #expect(points.compactMap { $0["mixer"]?.string } == plan.mixers)
    for point in points {
      let rows = point["pair_rows"]?.array ?? []
      #expect(rows.compactMap { $0["pairs"]?.integer } == [2, 4])
      #expect(rows.allSatisfy { (0...4).contains($0["recalled"]?.double ?? -1) } && point["pairs_a_thousand_floats"]?.double != nil)
    }
  }

  @Test func quarterOctavesGoUpByTheFourthRootOfTwo() {
    #expect(CapacityPlan.quarterOctaves(from: 256, to: 600) == [256, 304, 362, 431, 512])
    #expect(CapacityPlan.paper.sizes.map(\.stateFloats).min() ?? 0 < 470_000)
    #expect(CapacityPlan.paper.sizes.map(\.stateFloats).max() ?? 0 > 1_200_000)
  }
}
