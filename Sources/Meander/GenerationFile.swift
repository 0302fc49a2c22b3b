import MeanderErrors
import MeanderFiles
import MeanderText

/// What a model's own files say about generating: `generation_config.json`, and the end token of
/// `config.json`.
struct GenerationFile {
  /// Greedy where the files are silent.
  private(set) var sampling = SamplingOptions()
  private(set) var endTokens: Set<Int32> = []

  init(_ files: ModelFiles) throws {
    // Of a GGUF file the tokenizer knows the end tokens, and nothing is said about sampling.
    guard try files.gguf() == nil else { return }
    if let file = try files.file("config.json") {
      endTokens = try Self.ends(in: JSON.parse(file), path: file.path)
    }
    guard let file = try files.file("generation_config.json") else { return }
    let json = try JSON.parse(file)
    let ends = try Self.ends(in: json, path: file.path)
    if !ends.isEmpty { endTokens = ends }
    guard json["do_sample"] != .bool(false) else { return }
    sampling.temperature = try Self.number("temperature", json, file.path) ?? sampling.temperature
    sampling.topK = try Self.integer("top_k", json, file.path) ?? sampling.topK
    sampling.topP = try Self.number("top_p", json, file.path) ?? sampling.topP
    sampling.minP = try Self.number("min_p", json, file.path) ?? sampling.minP
    sampling.typical = try Self.number("typical_p", json, file.path) ?? sampling.typical
    sampling.repeatPenalty = try Self.number("repetition_penalty", json, file.path) ?? sampling.repeatPenalty
    do {
      _ = try Sampler(sampling)
    } catch {
      throw MeanderError(.badData, "asks for sampling that does not exist", at: file.path, cause: error)
    }
  }

  /// `eos_token_id`: one id, a list of ids, or nothing.
  private static func ends(in json: JSON, path: String) throws -> Set<Int32> {
    switch json["eos_token_id"] {
    case .null?, nil:
      return []
    case .array(let values)?:
      return try Set(values.map { try identifier($0, path) })
    case .some(let value):
      return try [identifier(value, path)]
    }
  }

  private static func identifier(_ value: JSON, _ path: String) throws -> Int32 {
    guard let id = value.integer.flatMap({ Int32(exactly: $0) }), id >= 0 else {
      throw MeanderError(.badData, "holds an eos_token_id that is no token", at: path)
    }
    return id
  }

  private static func number(_ key: String, _ json: JSON, _ path: String) throws -> Double? {
    guard let value = json[key], value != .null else { return nil }
    guard let number = value.double else { throw MeanderError(.badData, "\(key) is not a number", at: path) }
    return number
  }

  private static func integer(_ key: String, _ json: JSON, _ path: String) throws -> Int? {
    guard let value = json[key], value != .null else { return nil }
    guard let number = value.integer else { throw MeanderError(.badData, "\(key) is not a whole number", at: path) }
    return number
  }
}
