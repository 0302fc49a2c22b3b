import Foundation
import MeanderFiles
import MeanderTestSupport
import Testing

/// What `meander logits` writes agrees with the reference implementations, however the ids are cut.
@Suite struct LogitsTests {
  static let fixtures = [
    "mamba2-defaults", "mamba2-tied", "mamba2-groups", "mamba2-bf16", "mamba1",
  ]
  /// Folders with the same weights in the original layout, and where their golden values are.
  static let originals = [
    ("mamba2-defaults-original", "mamba2-defaults"), ("mamba2-tied-original", "mamba2-tied"),
    ("mamba1-original", "mamba1")
  ]

  @Test(arguments: fixtures)
  func agreeWithTheReference(_ fixture: String) throws { try check(fixture, golden: fixture) }

  @Test(arguments: originals)
  func ofTheOriginalLayoutAgree(_ fixture: String, _ golden: String) throws { try check(fixture, golden: golden) }

  @Test func areTheSameBitsFromASnapshot() throws {
    let scratch = try Scratch()
    let ids = "one text, read in two parts".utf8.map { Int64($0) }
    let whole = try logits("../../Models/passkey", ids, ["-o", "whole.safetensors"], in: scratch)
    let first = String(decoding: ids.prefix(9).map { UInt8($0) }, as: UTF8.self)
    #expect(try Command.run(["run", "-m", "passkey", "-p", first, "-n", "0", "--save", "s"], in: scratch).status == 0)
    let rest = try logits(
      "../../Models/passkey", Array(ids.dropFirst(9)), ["--load", "s", "-o", "rest.safetensors"], in: scratch)
    let width = try #require(whole.entries["logits"]?.shape.last)
    #expect(try rest.floats("logits") == Array(whole.floats("logits").dropFirst(9 * width)))
    for name in whole.entries.keys where name != "logits" { #expect(try rest.bytes(name) == whole.bytes(name), "\(name)") }
    let missing = try Command.run(
      ["logits", "-m", "passkey", "--ids", "ids.json", "--load", "none", "-o", "no.safetensors"], in: scratch)
    #expect(missing.status == 66)
  }

  @Test(arguments: ["mamba2-groups", "mamba1"])
  func areTheSameBitsAtEverySplit(_ fixture: String) throws {
    let scratch = try Scratch()
    let ids = try Golden(fixture).integers("input_ids")
    let whole = try logits(fixture, ids, ["-o", "whole.safetensors"], in: scratch)
    for split in ["1", "5,1,7", "\(ids.count)", "13,13,1,1,1"] {
      let cut = try logits(fixture, ids, ["--split", split, "-o", "cut.safetensors"], in: scratch)
      #expect(try cut.floats("logits") == whole.floats("logits"), "split \(split)")
      for name in whole.entries.keys { #expect(try cut.bytes(name) == whole.bytes(name), "\(name), split \(split)") }
    }
  }

  private func check(_ fixture: String, golden name: String) throws {
    let scratch = try Scratch()
    let golden = try Golden(name)
    let ids = try golden.integers("input_ids")
    let store = try logits(fixture, ids, ["-o", "out.safetensors"], in: scratch)
    let reference = try golden.floats("logits")
    let shape = try golden.shape("logits")
    let columns = try #require(store.entries["logits"]?.shape.last)
    let rows = try store.floats("logits")
    // The original layout pads the vocabulary; the goldens hold the columns before the padding.
    let width = try #require(shape.last)
    let kept = (0..<ids.count).flatMap { row in rows[row * columns..<row * columns + width] }
    expectClose(kept, reference, "\(fixture) logits")
    for layer in 0..<100 {
      guard golden.names.contains("state.\(layer).ssm") else { break }
      expectClose(
        try store.floats("layers.\(layer).ssm"), try golden.floats("state.\(layer).ssm"),
        "\(fixture) layer \(layer) ssm")
      #expect(store.entries["layers.\(layer).conv"] != nil)
    }
  }

  private func logits(
    _ fixture: String, _ ids: [Int64], _ arguments: [String], in scratch: Scratch
  ) throws -> TensorStore {
    try scratch.write("ids.json", Array("\(ids)".utf8))
    let result = try Command.run(
      ["logits", "-m", Fixture.path(fixture), "--ids", scratch.path("ids.json")] + arguments, in: scratch)
    #expect(result.status == 0, "\(result.errors)")
    return try TensorStore.open(safetensors: .mapping(scratch.path(try #require(arguments.last))))
  }
}
