import MeanderErrors
import MeanderKernels
import MeanderModels

/// A causal convolution of a stream of any length: y[t] = Σ_{s < K} h[s]·x[t - s] for each channel by itself, exact over the whole filter, in
/// tiles that the stream's position fixes. So reading in pieces of any size, one row at a time among them, gives the same bits, and
/// memory is the filter's.
public final class StreamingConvolution {
  /// C
  public let channels: Int
  /// K, the filter's length.
  public let length: Int
  private let filter: FourierFilter
  private let kernels: Kernels
  private let regions: [StateRegion]
  private let state: ModelState
  private var arena = Arena(byteCount: 0)

  /// Rows that are convolved at a time, at least: a period's tiles share most when they are computed together.
  private static let run = 4096

  /// - Parameters:
  ///   - filter: h, K × C, a row for each lag.
  ///   - channels: C.
  ///   - threads: how many threads share channels out.
  /// - Throws: `badRequest` for a filter that is no K × C, `limit` for one that is too long for transforms.
  public init(_ filter: [Float], channels: Int, threads: Int = 1) throws {
    guard channels > 0, !filter.isEmpty, filter.count.isMultiple(of: channels), (1...1024).contains(threads) else {
      throw MeanderError(.badRequest, "\(filter.count) numbers are no filter of \(channels) channels", at: "StreamingConvolution")
    }
    (self.channels, length) = (channels, filter.count / channels)
    self.filter = try FourierFilter(
      channels: channels, stages: 1, length: length, .explicit(Matrix(filter, rows: length, columns: channels)))
    kernels = Kernels(table: try .fromEnvironment(), team: WorkerTeam(threads: threads), compute: .fp32)
    var layout = StateLayout()
    regions = self.filter.declareState(in: &layout, layer: "layers.0", stage: 0)
    state = ModelState(layout: layout)
  }

  /// Bytes of what is kept of the past.
  public var stateByteCount: Int { state.layout.byteCount }

  /// How many rows were read.
  public var position: Int64 { state.position }

  /// Forgets all that was read; what was made of the filter stays.
  public func reset() { state.clear() }

  /// The outputs for the next rows, T × C; a last row that is not whole traps.
  public func read(_ rows: [Float]) -> [Float] { read(rows, form: .scan) }

  /// The same with tiles from the definition, in double precision.
  package func readNaively(_ rows: [Float]) -> [Float] { read(rows, form: .naive) }

  private func read(_ rows: [Float], form: RecurrenceForm) -> [Float] {
    precondition(rows.count.isMultiple(of: channels), "a row that is not whole")
    let x = Matrix(rows, rows: rows.count / channels, columns: channels)
    let run = max(Self.run, filter.tiling.period)
    let needed = 4 * (min(x.rows, run) + 1) * (channels + 16) + 1024
    if arena.byteCount < needed { arena = Arena(byteCount: needed) }
    var result: [Float] = []
    for start in stride(from: 0, to: x.rows, by: run) {
      let part = x.rows(start..<min(x.rows, start + run))
      arena.reset()
      let y = filter.convolve(
        part, stage: 0, prepared: nil, state: MixerState(state: state, regions: regions), first: 0, position: state.position,
        Operations(kernels: kernels, arena: arena, form: form))
      state.setPosition(state.position + Int64(part.rows))
      if result.isEmpty { result = y.array() } else { result += y.array() }
    }
    return result
  }
}
