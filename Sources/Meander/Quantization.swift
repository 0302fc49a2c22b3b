import MeanderErrors
import MeanderFiles
import MeanderModels
import MeanderText

/// Models written as GGUF files of another type.
public enum Quantization {
  /// The types that can be written: `f32`, `bf16`, `q8_0`, `q4_0` and `q4_k`.
  public static let types = GGUFExport.Kind.allCases.map(\.rawValue)

  /// What was written.
  public struct Summary: Sendable {
    /// Bytes of all tensors.
    public let byteCount: Int
    /// Whether the file holds a tokenizer; where it does not, models made of it take ids alone, or bytes where these are their
    /// vocabulary.
    public let hasTokenizer: Bool
  }

  /// Writes a model as a GGUF file, atomically.
  ///
  /// Matrices are rounded to the type; vectors, convolutions and the gates' numbers stay in fp32. A model in a GGUF file keeps
  /// everything that the file says.
  ///
  /// - Parameters:
  ///   - model: what `Model.load` takes.
  ///   - type: one of `types`.
  ///   - path: the file to write.
  ///   - progress: told of the part that is done, from 0 to 1.
  /// - Throws: `badRequest` for another type, `unsupported` for an architecture that is not written, `badData` and `inputOutput` as
  ///   `Model.load` does.
  public static func write(
    _ model: String, as type: String, to path: String, progress: (Double) -> Void = { _ in }
  ) throws -> Summary {
    guard let kind = GGUFExport.Kind(rawValue: type) else {
      throw MeanderError(
        .badRequest, "there is no type \"\(type)\" to write", remedy: "Types: \(types.joined(separator: ", ")).")
    }
    let files = try ModelFiles.resolve(model)
    var export = try GGUFExport(files, as: kind)
    var hasTokenizer = export.hasTokenizer
    if !hasTokenizer {
      let tokenizer = try Tokenizer.ggufMetadata(files, vocabulary: export.vocabulary)
      export.add(tokenizer ?? [("tokenizer.ggml.model", .text("no_vocab"))])
      if let template = try ChatTemplate.source(files) { export.add([("tokenizer.chat_template", .text(template))]) }
      hasTokenizer = tokenizer != nil
    }
    return Summary(byteCount: try export.write(to: path, progress: progress), hasTokenizer: hasTokenizer)
  }
}
