import ArgumentParser
import Meander
import MeanderEvaluation
import MeanderTasks

struct LabCuresCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "cures",
    abstract: "Mitigations side by side on one model: do they hold, and is the past worth anything?",
    usage: "meander lab cures -o <folder> [<options>]",
    discussion: Examples.discussion(
      "lab cures",
      """
      The same windows of text are scored under each cure after more and more of their own past, and compared in pairs: \
      with the cure itself after the trained length, with a state begun anew every trained length, and with the last \
      trained length alone. A cure counts where it beats both of these.
      """))

  @OptionGroup var lab: LabOptions
  @OptionGroup var corpus: TextOptions

  @Option(
    help: ArgumentHelp(
      "A cure to compare (may be repeated); several at once are joined by +.", valueName: "name:key=value,…"))
  var cure: [String] = []

  @Option(help: ArgumentHelp("Bytes of the sequences that the model was trained on.", valueName: "length"))
  var trained: Lengths

  @Option(
    help: ArgumentHelp(
      "After how many tokens the baseline begins anew (default: --trained, a token a byte).", valueName: "tokens"))
  var anewEvery: Lengths?

  @Option(help: ArgumentHelp("How much is read before each window, beside the trained length.", valueName: "lengths"))
  var contexts = Lengths([1 << 10, 1 << 12, 1 << 14, 1 << 16])

  @Option(help: "How many windows are scored after each context.")
  var windows = 16

  @Option(help: ArgumentHelp("Bytes of a window.", valueName: "length"))
  var window = Lengths([1 << 8])

  @Option(help: ArgumentHelp("Ask for pass keys too, said in this text; may be repeated.", valueName: "path"))
  var keysIn: [String] = []

  @Option(help: ArgumentHelp("Bytes up to the pass key's answer.", valueName: "lengths"))
  var keysAt = Lengths([1 << 16])

  @Option(help: "How many pass keys at each length.")
  var keys = 20

  func validate() throws {
    guard (1...10_000).contains(windows), (1...10_000).contains(keys) else {
      throw ValidationError("Please give --windows and --keys numbers from 1 to 10000.")
    }
    guard trained.values.count == 1, window.values.count == 1 else {
      throw ValidationError("Please give --trained and --window one length each.")
    }
    if !lab.mitigation.mitigation.isEmpty {
      throw ValidationError("Please name what is compared with --cure; --mitigation is for the other measurements.")
    }
  }

  func run() async throws {
    let length = trained.values[0]
    let plain = try await lab.subject([])
    let reset = try await lab.subject([Mitigation("reset:every=\(anewEvery?.values.first ?? length),keep=0")])
    var variants: [CureMeasurement.Variant] = []
    for name in cure {
      let parts = try name.split(separator: "+", omittingEmptySubsequences: false).map { try Mitigation(String($0)) }
      variants.append(CureMeasurement.Variant(name, try await lab.subject(parts)))
    }
    let measurement = try CureMeasurement(
      plain: plain, reset: reset, cures: variants, text: corpus.filler(), textName: corpus.name, trained: length,
      contexts: contexts.values, windows: windows, window: window.values[0],
      recall: keysIn.isEmpty ? nil : (keysAt.values, keys, TextFiller(keysIn)))
    try await lab.run(
      measurement, on: plain, columns: ["series", "length", "samples", "bits_per_byte", "change"],
      more: [
        (
          "cures",
          ["series", "cost_when_short", "change", "against_begun_anew", "against_last_alone", "beats_both"]
        ),
        ("keys", ["series", "length", "samples", "accuracy", "low", "high"]),
      ])
  }
}
