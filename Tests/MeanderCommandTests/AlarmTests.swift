import Foundation
import MeanderTestSupport
import Testing

/// The gauge's alarms in a stream's output.
@Suite struct AlarmTests {
  /// A model that forgets nothing, said to have been trained on 16 tokens at a time.
  private static func model(in scratch: Scratch) throws -> String {
    let shipped = Fixture.path("../../Models/passkey")
    let folder = scratch.path("latch")
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    try FileManager.default.copyItem(atPath: shipped + "/model.safetensors", toPath: folder + "/model.safetensors")
    let data = try Data(contentsOf: URL(fileURLWithPath: shipped + "/config.json"))
    var configuration = try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
    configuration["meander"] = ["purposes": ["language"], "trained_length": 16] as [String: Any]
    try JSONSerialization.data(withJSONObject: configuration).write(to: URL(fileURLWithPath: folder + "/config.json"))
    return folder
  }

  @Test func comeWithTheSameLinesHoweverTheInputIsCut() throws {
    let scratch = try Scratch()
    let model = try Self.model(in: scratch)
    let log = logLines(150)
    let whole = try Command.run(["stream", "-m", model, "--emit", "surprisal"], in: scratch, input: .bytes(log))
    let alarms = try whole.rows().compactMap { $0["alarm"] as? String }
    #expect(alarms.contains { $0.hasPrefix("layer ") }, "\(whole.errors)")
    #expect(alarms.count < 60)
    let slow = try Command.start(["stream", "-m", model, "--emit", "surprisal"], in: scratch, input: .pipe)
    for start in stride(from: 0, to: log.count, by: 777) {
      try slow.write(Array(log[start...].prefix(777)))
      usleep(2000)
    }
    try slow.closeInput()
    #expect(try slow.finish().bytes == whole.bytes)
  }
}
