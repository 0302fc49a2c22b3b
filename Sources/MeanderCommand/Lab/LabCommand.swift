import ArgumentParser

struct LabCommand: AsyncParsableCommand {
  /// Every measurement; a new one is a file and a line here.
  private static let all: [any ParsableCommand.Type] = [
    LabPasskeyCommand.self,
    LabPerplexityCommand.self,
    LabCollapseCommand.self,
    LabCuresCommand.self,
    LabRecallCommand.self,
    LabRemembranceCommand.self,
    LabCheckCommand.self,
    LabLogCommand.self,
    LabCapacityCommand.self,
    LabCascadeCommand.self,
    LabLengthGeneralizationCommand.self,
  ]

  static let configuration = CommandConfiguration(
    commandName: "lab",
    abstract: "Measure a model: recall, loss by position, state collapse.",
    discussion: """
      Each measurement leaves in its folder report.json, the picture report.svg that is drawn from it, and \
      outcomes.jsonl, a line for each sample as it was measured. One interrupt stops a run and writes the report of \
      what there is; --resume goes on.
      """,
    subcommands: all)
}
