import Foundation
import MeanderTestSupport
import Testing

/// Memory does not grow with what was read: 2 million tokens here, of which not the half could be kept unnoticed; 10
/// million with `MEANDER_LONG=1` (`make test-long`).
@Suite struct MemoryTests {
  @Test func isConstant() throws {
    let scratch = try Scratch()
    let line = Array("2024-05-11 10:00:00 status installed libc6:amd64 2.36-9\n".utf8)
    func peak(_ bytes: Int) throws -> Double {
      var input = [UInt8]()
      input.reserveCapacity(bytes + line.count)
      while input.count < bytes { input += line }
      return try Self.peak("passkey", input, in: scratch)
    }
    let short = try peak(100_000)
    let isLong = ProcessInfo.processInfo.environment["MEANDER_LONG"] == "1"
    let long = try peak(isLong ? 10_000_000 : 2_000_000)
    #expect(long - short < (isLong ? 4 : 1) * 1_048_576)
  }

  /// Every hybrid, whose attention keeps its first tokens and a ring of the last ones: `Benchmarks/memory` goes on to a million.
  @Test(arguments: [
    "bamba", "falcon-h1", "granite-hybrid-dense", "granite-moe-hybrid", "jamba", "kimi-linear", "lfm2", "minimax", "nemotron-h",
    "nemotron-h-moe", "olmo-hybrid", "qwen3-next", "qwen3.5-text", "recurrent-gemma", "zamba2",
  ])
  func ofAHybridIsConstant(_ fixture: String) throws {
    let scratch = try Scratch()
    func peak(_ tokens: Int) throws -> Double {
      let arguments = [
        "bench", "-m", Fixture.path(fixture), "--first-tokens", "2", "--last-tokens", "64", "--depth", "\(tokens)",
        "--prompt-tokens", "1", "-n", "0", "-r", "1", "-t", "1", "--json",
      ]
      let result = try Command.run(arguments, in: scratch)
      #expect(result.status == 0, "\(result.errors)")
      let rows = try JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [[String: Any]]
      return try #require(rows?.first?["peak_rss_bytes"] as? Double)
    }
    // How many of the program's own pages are resident differs by about as much between two runs of one length, so the smallest peak
    // of three stands for each.
    func smallest(_ tokens: Int) throws -> Double { try (0..<3).map { _ in try peak(tokens) }.min() ?? .infinity }
    let (short, long) = (try smallest(600), try smallest(6000))
    #expect(long - short < 524_288, "\(long - short) bytes more for ten times the tokens")
  }

  /// Packed weights, a state, and 64 MiB at most, while loading too: the file's pages are no second copy of them.
  @Test func isTheWeightsAndLittleMore() throws {
    let scratch = try Scratch()
    let weights = try Self.writeLargeModel(in: scratch)
    let peak = try Self.peak("large", Array("some text and some more".utf8), in: scratch)
    #expect(peak > Double(weights))
    #expect(peak < Double(weights + 64 << 20), "\(peak) bytes for \(weights) of weights")
  }

  /// The highest resident memory of `meander stream` over `input`, in bytes.
  private static func peak(_ model: String, _ input: [UInt8], in scratch: Scratch) throws -> Double {
    let result = try Command.run(["stream", "-m", model, "--snapshot", "s"], in: scratch, input: .bytes(input))
    #expect(result.status == 0, "\(result.errors)")
    let words = try #require(result.errors.components(separatedBy: "peak RSS ").last?.split(separator: " "))
    return try #require(Double(words[0])) * (["k": 1e3, "M": 1e6, "G": 1e9][words[1].prefix(1)] ?? 1)
  }

  /// A model of one layer whose vocabulary takes 100 MB, all zeros, which take no place on the disk.
  private static func writeLargeModel(in scratch: Scratch) throws -> Int {
    try FileManager.default.createDirectory(atPath: scratch.path("large"), withIntermediateDirectories: true)
    try FileManager.default.copyItem(
      atPath: Fixture.path("tokenizers/bpe-neox/tokenizer.json"), toPath: scratch.path("large/tokenizer.json"))
    let (vocabulary, width, heads, inner, size) = (400_000, 64, 4, 128, 16)
    try scratch.write(
      "large/config.json",
      Array(
        """
        {"model_type": "mamba2", "vocab_size": \(vocabulary), "hidden_size": \(width), "state_size": \(size),
         "num_hidden_layers": 1, "num_heads": \(heads), "head_dim": 32, "expand": 2, "n_groups": 1, "conv_kernel": 4,
         "tie_word_embeddings": true}
        """.utf8))
    let (layer, channels) = ("backbone.layers.0.", inner + 2 * size)
    let shapes: [(String, [Int])] = [
      ("backbone.norm_f.weight", [width]), (layer + "norm.weight", [width]),
      (layer + "mixer.in_proj.weight", [inner + channels + heads, width]),
      (layer + "mixer.conv1d.weight", [channels, 1, 4]), (layer + "mixer.conv1d.bias", [channels]),
      (layer + "mixer.A_log", [heads]), (layer + "mixer.dt_bias", [heads]), (layer + "mixer.D", [heads]),
      (layer + "mixer.norm.weight", [inner]), (layer + "mixer.out_proj.weight", [width, inner]),
      ("backbone.embeddings.weight", [vocabulary, width]),
    ]
    var end = 0
    let fields = shapes.map { name, shape in
      let start = end
      end += shape.reduce(4, *)
      return "\"\(name)\": {\"dtype\": \"F32\", \"shape\": \(shape), \"data_offsets\": [\(start), \(end)]}"
    }
    let header = Array("{\(fields.joined(separator: ", "))}".utf8)
    let length = (0..<8).map { UInt8(header.count >> (8 * $0) & 0xFF) }
    try scratch.write("large/model.safetensors", length + header)
    let file = try #require(FileHandle(forWritingAtPath: scratch.path("large/model.safetensors")))
    try file.truncate(atOffset: UInt64(8 + header.count + end))
    return end
  }
}
