import MeanderFiles
import MeanderKernels
import MeanderModels
import MeanderTestSupport
import Testing

/// Logits and final states of the reference implementations, at every cut and in every form.
@Suite struct GoldenTests {
  static let cuts: [[Int]] = [[], [1], [3, 1, 4, 1, 5, 9, 2, 6], [16], [Int](repeating: 1, count: 40), [7, 31]]

  @Test(arguments: GoldenModel.all, cuts)
  func logitsAndStatesAgree(model: GoldenModel, cut: [Int]) throws {
    let golden = try model.golden()
    let harness = try Harness(model.files)
    let ids = try golden.integers("input_ids").map { Int32($0) }
    try check(harness.logits(ids, cut: cut), of: harness, against: golden)
    try checkStates(of: harness, against: golden, prefix: "state")
  }

  @Test(arguments: GoldenModel.all, RecurrenceForm.allCases)
  func everyFormContinuesFromTheMiddle(model: GoldenModel, form: RecurrenceForm) throws {
    let golden = try model.golden()
    let harness = try Harness(model.files)
    let ids = try golden.integers("input_ids").map { Int32($0) }
    let split = try golden.integer("split")
    let first = try harness.logits(Array(ids[..<split]), form: form)
    try checkStates(of: harness, against: golden, prefix: "state_at_split")
    let second = try harness.logits(Array(ids[split...]), form: form)
    try check(first + second, of: harness, against: golden)
    try checkStates(of: harness, against: golden, prefix: "state")
  }

  @Test(arguments: GoldenModel.all.filter(\.hasShortInputs))
  func shortInputsAgree(model: GoldenModel) throws {
    let golden = try Golden(model.goldens, file: "golden_short.safetensors")
    let lengths = golden.names.compactMap { $0.hasSuffix(".input_ids") ? $0.dropLast(".input_ids".count) : nil }
    #expect(!lengths.isEmpty)
    for length in lengths {
      let harness = try Harness(model.files)
      let ids = try golden.integers("\(length).input_ids").map { Int32($0) }
      try check(harness.logits(ids), of: harness, against: golden, name: "\(length).logits")
    }
  }

  @Test(arguments: GoldenModel.all)
  func greedyTextIsTheReferences(model: GoldenModel) throws {
    let golden = try model.golden()
    let harness = try Harness(model.files)
    try harness.read(golden.integers("input_ids").map { Int32($0) })
    var ids: [Int64] = []
    let expected = try golden.integers("greedy_ids")
    for _ in expected {
      let logits = try harness.finalLogits()
      let best = logits.indices.max { logits[$0] < logits[$1] } ?? 0
      ids.append(Int64(best))
      try harness.read([Int32(best)])
    }
    #expect(ids == expected)
  }

  /// A file's embedding may have more rows than the golden's vocabulary, never fewer.
  private func check(
    _ logits: [Float], of harness: Harness, against golden: Golden, name: String = "logits"
  ) throws {
    let width = try golden.shape(name).last ?? 0
    let vocabulary = harness.model.facts.vocabulary
    let trimmed = stride(from: 0, to: logits.count, by: vocabulary).flatMap { logits[$0..<$0 + min(width, vocabulary)] }
    expectClose(trimmed, try golden.floats(name), name)
  }

  private func checkStates(of harness: Harness, against golden: Golden, prefix: String) throws {
    for tensor in harness.model.referenceState(harness.state) {
      let layer = tensor.name.split(separator: ".")[1]
      let part = tensor.name.split(separator: ".")[2]
      let name = "\(prefix).\(layer).\(part)"
      if golden.names.contains("\(prefix).\(part)") {
        // RWKV-4's reference has the layers of each part in one tensor, last.
        let layers = try golden.shape("\(prefix).\(part)").last ?? 1
        let all = try golden.floats("\(prefix).\(part)")
        expectClose(
          tensor.values, tensor.values.indices.map { all[$0 * layers + (Int(layer) ?? 0)] }, "\(prefix).\(part) of \(layer)")
        continue
      }
      // Left out where the reference cannot give it.
      guard golden.names.contains(where: { $0.hasPrefix(prefix) }) else { continue }
      // With or without a batch of one.
      let shape = try golden.shape(name)
      #expect(shape == tensor.shape || shape == [1] + tensor.shape, "\(name)")
      expectClose(tensor.values, try golden.floats(name), name)
    }
  }
}
