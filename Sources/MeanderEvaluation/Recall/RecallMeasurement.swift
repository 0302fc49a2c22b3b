import Meander
import MeanderErrors
import MeanderFiles
import MeanderTasks

/// How often a model gives back what it read somewhere in a long input.
///
/// Every sample has filler, key and depth of its own, decided by the seed, the series, the length and the sample's
/// number alone; no two read a common stretch of stream. Every token is streamed: nothing is skipped, powered or taken
/// over from another sample.
package struct RecallMeasurement: Sendable {
  package var series: [RecallSeries]
  /// Bytes that are read before the answer, the question included.
  package var lengths: [Int]
  /// For each series, length and fixed depth.
  package var samples: Int
  package var depths: RecallDepths
  package var filler: any Filler

  package init(series: [RecallSeries], lengths: [Int], samples: Int, depths: RecallDepths, filler: any Filler) {
    self.series = series
    self.lengths = lengths
    self.samples = samples
    self.depths = depths
    self.filler = filler
  }

  /// Sample `number` of a series at a length.
  struct Cell: Hashable {
    let series: Int
    let length: Int
    let number: Int
  }

  var cells: [Cell] {
    var count = samples
    if case .fixed(let depths) = depths { count *= depths.count }
    return lengths.sorted().flatMap { length in
      (0..<count).flatMap { number in series.indices.map { Cell(series: $0, length: length, number: number) } }
    }
  }

  /// What decides a sample. More lengths, series or samples leave those that were measured as they are, but for depths
  /// that are spread over the samples.
  var settings: [(String, JSON)] {
    [
      ("reading", .string("every token streamed")), ("length_unit", .string("bytes")), ("depths", .string(depths.text)),
    ] + (depths == .even ? [("samples", JSON(samples))] : [])
  }

  package var units: [MeasurementUnit] {
    cells.map { MeasurementUnit("\(series[$0.series].name)/\($0.length)/\($0.number)", bytes: $0.length) }
  }

  package func measure(_ unit: Int, on stream: LabStream) async throws -> JSON {
    let cell = cells[unit]
    let series = series[cell.series]
    var generator = TaskGenerator(
      seed: stream.seed &+ Self.digest(series.name), sample: UInt64(cell.length) << 24 | UInt64(cell.number))
    let drawn = generator.uniform()
    let depth = depth(cell.number, drawn)
    let example = try example(series.task, cell.length, depth, generator.fork())
    // Places spread by the golden ratio use up a text as evenly as any number of samples can.
    var spread = TaskGenerator(seed: stream.seed &+ Self.digest(series.name), sample: UInt64(cell.length))
    let share = (spread.uniform() + Double(cell.number) * 0.6180339887498949).truncatingRemainder(dividingBy: 1)
    let own = series.task.filler
    let run = try own?.run(generator.fork()) ?? filler.run(generator.fork(), at: share)
    let reader = ExampleReader(example, filler: run, closesLines: own == nil)
    var sample = RecallSample(series: series, depth: depth, origin: own == nil ? run.origin : nil)
    do {
      try await sample.read(reader, on: stream)
    } catch let error as MeanderError where error.code == .nonFinite {
      // A state that is no longer finite answers nothing; that is a result, and says so.
      sample.failure = error.what
    }
    return sample.outcome
  }

  private func depth(_ number: Int, _ drawn: Double) -> Double {
    switch depths {
    case .uniform: drawn
    case .even: (Double(number) + 0.5) / Double(samples)
    case .fixed(let depths): depths[number % depths.count]
    }
  }

  /// An example whose bytes up to its last answer are `length`, or as few as its statements take.
  private func example(
    _ task: any RecallTask, _ length: Int, _ depth: Double, _ generator: TaskGenerator
  ) throws -> Example {
    var draft = generator
    let least = try task.example(filler: 0, depth: depth, using: &draft)
    let rest = least.byteCount - (least.answers.last?.count ?? 0)
    var generator = generator
    return try task.example(filler: max(0, length - rest), depth: depth, using: &generator)
  }

  /// The same number for the same text everywhere (FNV-1a).
  private static func digest(_ text: String) -> UInt64 {
    text.utf8.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
  }
}
