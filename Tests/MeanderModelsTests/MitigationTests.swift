import MeanderErrors
import MeanderFiles
import MeanderKernels
import MeanderModels
import MeanderTestSupport
import Testing

/// One of each mitigation, with settings under which it acts many times within a few hundred tokens.
private let samples = [
  "rri:retention=0.999,insertion=0.7", "dt-scale:scale=0.4", "a-scale:scale=3", "a-scale:scale=0.8,form=power",
  "token-filter:threshold=0.06", "token-filter:threshold=0.1,after=200", "state-norm:cap=0.3,grid=32", "state-norm:factor=0.5,grid=16",
  "window:length=96,grid=32,fade=32", "window:length=96,form=subtractive,grid=32", "window:length=96,form=two-stack,grid=32",
  "reset:every=128,keep=64,grid=32,fade=32", "reset:keep=64,grid=16,fade=16", "auto:grid=16,patience=2",
]

@Suite struct MitigationTests {
  /// A model that forgets nothing, so that its alarms come soon.
  private static let trained = Result { try TrainedFixture("mamba2-groups", trainedLength: 64, neverForgets: true) }

  private func harness(
    _ mitigations: [String], threads: Int = 2, maximumTokens: Int = LanguageModel.grid
  ) throws -> Harness {
    try Harness(
      Self.trained.get().files, mitigations.map { try Mitigation($0) }, threads: threads, maximumTokens: maximumTokens)
  }

  @Test func everyMitigationIsTested() {
    let tested = Set(samples.map { $0.prefix { $0 != ":" } }.map(String.init))
    #expect(tested == Set(Mitigation.names))
  }

  @Test(arguments: samples)
  func itsTextGivesItAgain(_ text: String) throws {
    let mitigation = try Mitigation(text)
    #expect(try Mitigation(mitigation.description) == mitigation)
  }

  @Test(arguments: samples, [RecurrenceForm.naive, .chunk])
  func everyFormAgrees(_ text: String, _ form: RecurrenceForm) throws {
    let scan = try harness([text])
    let other = try harness([text])
    let ids = scan.someIDs(300)
    let expected = try scan.logits(ids, cut: [140])
    let found = try other.logits(ids, cut: [140], form: form)
    expectClose(found, expected, "logits under \(text)")
    for layer in 0..<3 { expectClose(other.recurrence(layer), scan.recurrence(layer), "state of layer \(layer)") }
  }

  @Test(arguments: samples)
  func theCutDoesNotMatterAndItDoesSomething(_ text: String) throws {
    let whole = try harness([text])
    let ids = whole.someIDs(700)
    try whole.read(ids)
    for (cut, threads, size) in [([1, 31, 1, 2, 300], 1, 512), ([Int](repeating: 7, count: 90), 3, 20)] {
      let other = try harness([text], threads: threads, maximumTokens: size)
      try other.read(ids, cut: cut)
      #expect(other.bits == whole.bits, "\(text), cut \(cut.prefix(5))")
    }
    let plain = try harness([])
    try plain.read(ids)
    #expect(whole.recurrence(1) != plain.recurrence(1), "\(text)")
  }

  @Test func theyCompose() throws {
    let texts = ["rri:retention=0.999,insertion=0.7", "window:length=96,form=two-stack,grid=32", "state-norm:cap=0.3,grid=16"]
    let scan = try harness(texts)
    let naive = try harness(texts)
    let ids = scan.someIDs(300)
    expectClose(try naive.logits(ids, form: .naive), try scan.logits(ids), "logits under three")
    let reordered = try harness(texts.reversed())
    try reordered.read(ids)
    #expect(reordered.bits == scan.bits)
    #expect(reordered.model.plan.mitigations == scan.model.plan.mitigations)
    #expect(scan.model.plan.mitigations.map(\.name) == ["rri", "state-norm", "window"])
  }

  @Test func noneIsThePlainModel() throws {
    let plain = try harness([])
    let again = try harness(["rri"]).model.mitigated(by: [])
    #expect(again.layout.byteCount == plain.model.layout.byteCount)
    #expect(again.plan.mitigations.isEmpty)
  }

  /// In the first layer what is written does not depend on what is read, so a window is the state of a stream that
  /// began at its edge.
  @Test(arguments: [
    ("window:length=96,grid=32,fade=0", 250, 96), ("window:length=96,grid=32,fade=32", 250, 96),
    ("window:length=96,form=subtractive,grid=32", 250, 128), ("window:length=96,form=subtractive,grid=32", 33, 0),
    ("window:length=96,form=two-stack,grid=32", 250, 128), ("window:length=96,form=two-stack,grid=32", 288, 192),
    ("window:length=96,form=two-stack,grid=32", 97, 0), ("reset:every=128,keep=64,grid=32,fade=32", 200, 64),
    ("reset:every=128,keep=0,grid=32", 300, 256),
  ], [true, false])
  func aWindowIsAStreamThatBeganAtItsEdge(_ window: (text: String, tokens: Int, edge: Int), neverForgets: Bool) throws {
    let (text, tokens, edge) = window
    let files = neverForgets ? try Self.trained.get().files : Fixture.model("mamba2-groups")
    let windowed = try Harness(files, [Mitigation(text)])
    let ids = windowed.someIDs(tokens)
    try windowed.read(ids)
    let fresh = try Harness(files, [])
    try fresh.read(Array(ids[..<edge]))
    try fresh.clear("layers.0.ssm")
    try fresh.read(Array(ids[edge...]))
    expectClose(windowed.recurrence(0), fresh.recurrence(0), "\(text) after \(tokens) tokens")
  }

  @Test func aFadeGoesOverStepByStep() throws {
    let faded = try harness(["window:length=96,grid=32,fade=64"])
    let ids = faded.someIDs(96)
    // Three steps, the first a third of the way: at token 128, within the second window.
    try faded.read(ids + ids.prefix(32))
    let old = try harness([])
    try old.read(ids + ids.prefix(32))
    let young = try harness([])
    try young.read(ids)
    try young.clear("layers.0.ssm")
    try young.read(Array(ids.prefix(32)))
    let expected = zip(old.recurrence(0), young.recurrence(0)).map { $0 * 2 / 3 + $1 / 3 }
    expectClose(faded.recurrence(0), expected, "a third of the way")
  }

  @Test func theSubtractiveWindowTellsItsError() throws {
    let windowed = try harness(["window:length=96,form=subtractive,grid=32"])
    try windowed.read(windowed.someIDs(600))
    let report = windowed.model.plan.report(windowed.state)
    #expect(report.count == 1 && report[0].contains("layer"), "\(report)")
    let worst = (0..<3).flatMap { windowed.doubles("layers.\($0).window.errors") }.max() ?? 0
    #expect(worst > 0x1p-24 && worst < 1e-5)
  }

  @Test func theTwoStacksTakeTheMemoryThatTheDocsSay() throws {
    let plain = try harness([])
    let windowed = try harness(["window:length=4096,form=two-stack,grid=512"])
    let state = 3 * 6 * 24 * 16 * 4
    let added = windowed.model.layout.byteCount - plain.model.layout.byteCount
    // 4096 / 512 slots, the front and the cell; beside them a few numbers a head.
    #expect(added >= 10 * state && added < 10 * state + 6000, "\(added) bytes for states of \(state)")
  }

  @Test func slowDecayIsKeptThroughWindows() throws {
    // A head that keeps 1 - 1e-9 a token: nothing may be lost or won by composing 64 cells.
    let windowed = try harness(["window:length=2048,form=two-stack,grid=32"])
    let fresh = try harness([])
    let ids = windowed.someIDs(2048)
    try windowed.read(ids)
    try fresh.read(ids)
    expectClose(windowed.recurrence(0), fresh.recurrence(0), "a window as long as the stream", within: 1e-6)
  }

  @Test func normsStayBelowTheirCap() throws {
    let capped = try harness(["state-norm:cap=0.3,grid=32"])
    for _ in 0..<20 {
      try capped.read(capped.someIDs(32, seed: UInt64(capped.state.position)))
      let norms = capped.model.gauge(of: capped.state, kernels: capped.kernels).joined().map(\.norm)
      #expect(norms.allSatisfy { $0 <= 0.3 * (1 + 1e-6) }, "\(norms)")
    }
  }

  @Test func aFilterOfEverythingWritesNothing() throws {
    let filtered = try harness(["token-filter:threshold=1000,after=64"])
    let ids = filtered.someIDs(1100)
    // The threshold moves on the grid alone: up to token 512 it is that of the start.
    try filtered.read(Array(ids.prefix(512)))
    let before = filtered.recurrence(0)
    try filtered.read(Array(ids[512...]))
    #expect(filtered.recurrence(0) == before)
    #expect(before.contains { $0 != 0 })
  }
}

/// What happens when the gauge raises its alarm.
@Suite struct AlarmTests {
  private func harness(_ mitigations: [Mitigation], neverForgets: Bool = true) throws -> (Harness, TrainedFixture) {
    let fixture = try TrainedFixture("mamba2-groups", trainedLength: 64, neverForgets: neverForgets)
    return (try Harness(fixture.files, mitigations), fixture)
  }

  private func alarms(_ harness: Harness) -> [[Bool]] {
    harness.model.gauge(of: harness.state, kernels: harness.kernels).map { $0.map(\.alarm) }
  }

  @Test func theDetectorIsThePapers() throws {
    // Heads that forget nothing beside some that forget most of what they read within the trained length.
    let fixture = try TrainedFixture("mamba2-groups", trainedLength: 64, logRates: [-18, -4.5, -1])
    let harness = try Harness(fixture.files, [])
    defer { withExtendedLifetime(fixture) {} }
    var largest = [[Double]](repeating: [Double](repeating: 0, count: 6), count: 3)
    let ids = harness.someIDs(1500)
    for start in stride(from: 0, to: 64, by: 16) {
      try harness.read(Array(ids[start..<start + 16]))
      for (layer, heads) in harness.model.gauge(of: harness.state, kernels: harness.kernels).enumerated() {
        for (head, reading) in heads.enumerated() { largest[layer][head] = max(largest[layer][head], reading.norm) }
      }
    }
    let retained = harness.model.gauge(of: harness.state, kernels: harness.kernels).map { $0.map(\.retention) }
    #expect(alarms(harness).joined().allSatisfy { !$0 })
    try harness.read(Array(ids[64...]))
    // In the last layer all outgrow what they were.
    harness.kernels.scale(harness.state.matrix(try #require(harness.model.layout["layers.2.ssm"])), by: 1000)
    var (count, forgetful) = (0, 0)
    for (layer, heads) in harness.model.gauge(of: harness.state, kernels: harness.kernels).enumerated() {
      for (head, reading) in heads.enumerated() {
        let expected = exponential(retained[layer][head]) > 0.5 && reading.norm > 2 * largest[layer][head]
        #expect(reading.alarm == expected, "layer \(layer), head \(head)")
        count += reading.alarm ? 1 : 0
        forgetful += !reading.alarm && reading.norm > 2 * largest[layer][head] ? 1 : 0
      }
    }
    #expect(count > 0 && forgetful > 0, "\(count) and \(forgetful) heads")
  }

  @Test func aModelThatForgetsRaisesNone() throws {
    let (harness, fixture) = try harness([], neverForgets: false)
    defer { withExtendedLifetime(fixture) {} }
    try harness.read(harness.someIDs(3000))
    #expect(alarms(harness).joined().allSatisfy { !$0 })
  }

  @Test func autoIsNothingBeforeAnAlarm() throws {
    let (plain, fixture) = try harness([])
    let guarded = try Harness(fixture.files, [.automatic])
    let ids = plain.someIDs(2000)
    var firstAlarm: Int64?
    for start in stride(from: 0, to: ids.count, by: 16) where firstAlarm == nil {
      try plain.read(Array(ids[start..<start + 16]))
      try guarded.read(Array(ids[start..<start + 16]))
      if alarms(plain).joined().contains(true) {
        firstAlarm = plain.state.position
      } else {
        #expect(guarded.model.referenceState(guarded.state).map(\.values) == plain.model.referenceState(plain.state).map(\.values))
        #expect(guarded.model.plan.report(guarded.state).isEmpty)
      }
    }
    let alarm = try #require(firstAlarm)
    let report = guarded.model.plan.report(guarded.state)
    #expect(report.contains { $0.contains("its norm was capped from token \(alarm)") }, "\(report)")
    try guarded.read(ids)
    #expect(alarms(guarded).joined().allSatisfy { !$0 })
  }

  @Test func aHeadThatNoCapHoldsGetsTheNextCure() throws {
    let (guarded, fixture) = try harness([try Mitigation("auto:factor=2,patience=1,grid=512")])
    defer { withExtendedLifetime(fixture) {} }
    try guarded.read(guarded.someIDs(6000))
    let report = guarded.model.plan.report(guarded.state)
    #expect(report.contains { $0.contains("its decay was quickened") }, "\(report)")
  }

  @Test func theLastCureSwapsAHeadThatOutgrowsItsCap() throws {
    let (guarded, fixture) = try harness([try Mitigation("auto:grid=16")])
    defer { withExtendedLifetime(fixture) {} }
    let ids = guarded.someIDs(1024)
    try guarded.read(Array(ids[..<400]))
    // As if no cap had held before: the third cure in every head, its second begun here.
    for layer in 0..<3 {
      let cures = guarded.state.doubles(try #require(guarded.model.layout["layers.\(layer).auto"]))
      for head in 0..<6 { (cures[head], cures[3 * 6 + head]) = (3, 400) }
    }
    let state = guarded.state.matrix(try #require(guarded.model.layout["layers.0.ssm"]))
    guarded.kernels.scale(state, by: 1000)
    // The shadow's run began at 384, but it moves from token 400 on: it is 64 tokens old at 464, and the fade takes 16 more.
    try guarded.read(Array(ids[400..<464]))
    #expect(!guarded.model.plan.report(guarded.state).contains { $0.contains("was swapped") })
    try guarded.read(Array(ids[464..<480]))
    let report = guarded.model.plan.report(guarded.state)
    for head in 0..<6 { #expect(report.contains { $0.hasPrefix("layer 0, head \(head) was swapped once") }, "\(report)") }
    #expect(!report.contains { $0.hasPrefix("layer 1") && $0.contains("was swapped") }, "\(report)")
  }

  @Test func aResetOnAlarmConcernsTheAlarmedHeadsAlone() throws {
    let (plain, fixture) = try harness([])
    let reset = try Harness(fixture.files, [.resetOnAlarm(keeping: 64, fade: 0, grid: 16)])
    let ids = plain.someIDs(400)
    try plain.read(ids)
    try reset.read(ids)
    let report = reset.model.plan.report(reset.state)
    #expect(!report.isEmpty)
    let size = 24 * 16
    for head in 0..<6 {
      let wasSwapped = report.contains { $0.contains("layer 0, head \(head) ") }
      let own = reset.recurrence(0)[head * size..<(head + 1) * size]
      #expect((own == plain.recurrence(0)[head * size..<(head + 1) * size]) == !wasSwapped, "head \(head)")
    }
  }

  /// Whatever numbers a damaged snapshot puts there.
  @Test func strangeNumbersInTheirRegionsDoNotTrap() throws {
    for text in ["auto:grid=16", "reset:keep=64,grid=16"] {
      let (harness, fixture) = try harness([try Mitigation(text)])
      defer { withExtendedLifetime(fixture) {} }
      let ids = harness.someIDs(200)
      for strange in [Double.nan, .infinity, -.infinity, 1e300, -7, 0.5, 2.5] {
        for region in harness.model.layout.regions where region.name.hasSuffix(".auto") || region.name.hasSuffix(".reset") {
          harness.state.doubles(region).fill(strange)
        }
        do { try harness.read(ids) } catch let error as MeanderError { #expect(error.code == .nonFinite) }
        _ = harness.model.plan.report(harness.state)
        harness.state.assign(harness.model.makeState())
      }
    }
  }
}
