import Foundation
import Testing

/// Trainings from the shell: killed, interrupted, and on a disk that fills.
@Suite struct TrainTests {
  static func recipe(steps: Int, checkpoint: String = "{}") -> String {
    """
    {"model": {"model_type": "mamba2", "vocab_size": 256, "hidden_size": 32, "num_hidden_layers": 1, "state_size": 8,
     "num_heads": 4, "head_dim": 16, "n_groups": 1, "tie_word_embeddings": true},
     "data": [{"source": "text", "paths": ["text"], "carry": "stream"}], "batch": 4, "length": 64, "steps": \(steps),
     "checkpoint": \(checkpoint), "output": "run"}
    """
  }

  private static func scratch(steps: Int, checkpoint: String = "{}") throws -> Scratch {
    let scratch = try Scratch()
    try scratch.write("text", logLines(200))
    try scratch.write("recipe.json", Array(recipe(steps: steps, checkpoint: checkpoint).utf8))
    return scratch
  }

  private static func losses(_ scratch: Scratch) -> [String] {
    String(decoding: scratch.read("run/log.jsonl"), as: UTF8.self).split(separator: "\n").map {
      $0.split(separator: ",").prefix(2).joined()
    }
  }

  /// Wherever a run is killed, the one that goes on is the one that never stopped.
  @Test(arguments: [SIGKILL, SIGINT]) func aRunThatIsEndedGoesOnToTheBit(signal: Int32) throws {
    let whole = try Self.scratch(steps: 300)
    #expect(try Command.run(["train", "recipe.json", "-t", "2"], in: whole).status == 0)
    let parts = try Self.scratch(steps: 300, checkpoint: #"{"steps": 7}"#)
    let running = try Command.start(["train", "recipe.json", "-t", "2"], in: parts)
    #expect(running.wait { Self.losses(parts).count >= 20 })
    running.signal(signal)
    let ended = try running.finish()
    #expect(signal == SIGKILL || ended.status == 130, "\(ended.errors)")
    #expect(Self.losses(parts).count < 300, "the run was over before it could be hit")
    #expect(try Command.run(["train", "recipe.json", "-t", "2", "--resume"], in: parts).status == 0)
    #expect(Self.losses(parts) == Self.losses(whole))
    #expect(parts.read("run/model.safetensors") == whole.read("run/model.safetensors"))
    #expect(String(decoding: parts.read("run/README.md"), as: UTF8.self).contains("## Limits"))
  }

  /// 32 KiB fit on the disk, a checkpoint does not: the one before it stays, and the run goes on from there.
  @Test func aDiskThatFillsKeepsTheLastCheckpoint() throws {
    let scratch = try Self.scratch(steps: 12)
    #expect(try Command.shell("meander train recipe.json -t 1 --until 4", in: scratch).status == 0)
    let name = "run/checkpoint-000000004.safetensors"
    let before = scratch.read(name)
    #expect(before.count > 65_536)
    let full = try Command.shell("ulimit -f 64; meander train recipe.json -t 1 --resume", in: scratch)
    #expect(full.status == 74, "\(full.errors)")
    #expect(scratch.read(name) == before)
    let left = try FileManager.default.contentsOfDirectory(atPath: scratch.path("run"))
    #expect(Set(left) == ["checkpoint-000000004.safetensors", "log.jsonl"])
    #expect(try Command.shell("meander train recipe.json -t 1 --resume", in: scratch).status == 0)
    let whole = try Self.scratch(steps: 12)
    #expect(try Command.shell("meander train recipe.json -t 1", in: whole).status == 0)
    #expect(scratch.read("run/model.safetensors") == whole.read("run/model.safetensors"))
  }

  @Test func aMistakeInARecipeIsNamed() throws {
    let scratch = try Scratch()
    try scratch.write("text", logLines(20))
    try scratch.write("recipe.json", Array(Self.recipe(steps: 3).replacing("\"batch\"", with: "\"bach\"").utf8))
    let result = try Command.run(["train", "recipe.json"], in: scratch)
    #expect(result.status == 65 && result.errors.contains("bach"), "\(result.errors)")
  }
}
