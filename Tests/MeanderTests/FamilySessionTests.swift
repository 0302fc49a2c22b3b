import Meander
import MeanderErrors
import MeanderModels
import MeanderTestSupport
import Testing

/// What sessions promise, for every architecture: snapshots, forks, a state of one size, the gauge, and mitigations that work or say
/// why they cannot.
@Suite(.timeLimit(.minutes(10))) struct FamilySessionTests {
  static let fixtures = [
    "mamba2-tied", "mamba1", "falcon-mamba", "rwkv4", "rwkv6", "rwkv7", "xlstm", "retnet", "gla", "hgrn2", "delta-net",
    "gated-deltanet", "mamba3", "mamba3-mimo", "lstm", "lfm2", "bamba", "jamba", "granite-moe-hybrid", "granite-hybrid-dense",
    "nemotron-h", "nemotron-h-moe", "falcon-h1", "zamba2", "qwen3-next", "qwen3.5-text", "olmo-hybrid", "kimi-linear", "minimax",
    "recurrent-gemma", "llama-gqa", "mistral-window", "qwen2-bias", "qwen3-qknorm",
  ]

  private static func model(_ fixture: String) async throws -> Model {
    try await Model.load(
      Fixture.path(fixture), engine: Engine(threads: 2), context: .bounded(globals: 2, locals: 32))
  }

  private static func ids(_ model: Model, _ count: Int) -> [Int32] {
    var generator = SeededGenerator(seed: 29)
    return (0..<count).map { _ in Int32.random(in: 0..<Int32(model.vocabularyCount), using: &generator) }
  }

  @Test func everyArchitectureIsHere() async throws {
    var found: Set<String> = []
    for fixture in Self.fixtures { found.insert(try await Self.model(fixture).architecture) }
    // What a distillation writes is tested with it, and long convolutions where FFTW is linked.
    found.formUnion(["hyena_modal", "hyena"])
    #expect(Set(Registry.architectures.map { $0.name }).subtracting(found).isEmpty)
  }

  /// A snapshot in the middle, written and read, and a fork go on to the same bits; the state has one size throughout.
  @Test(arguments: fixtures)
  func snapshotsAndForksGoOnInOneSize(fixture: String) async throws {
    let model = try await Self.model(fixture)
    let ids = Self.ids(model, 700)
    let session = try Session(model)
    let size = try await session.snapshot().bytes().count
    let reserved = model.engine.memoryReserved
    try await session.feed(ids: Array(ids[..<333]))
    let file = try await session.snapshot().bytes()
    let fork = try await session.fork()
    try await session.feed(ids: Array(ids[333...]))
    let whole = try await session.logits().map(\.bitPattern)
    for other in [fork, try Session(model, from: Snapshot(bytes: file))] {
      for start in stride(from: 333, to: 700, by: 50) { try await other.feed(ids: Array(ids[start..<min(700, start + 50)])) }
      #expect(try await other.logits().map(\.bitPattern) == whole)
      #expect(try await other.gauge().layers.map(\.heads) == (try await session.gauge().layers.map(\.heads)))
    }
    // Numbers of the metadata take a few digits more; a state that grew would take a region's worth.
    #expect(abs(try await session.snapshot().bytes().count - size) < 64)
    #expect(model.engine.memoryReserved - reserved <= 2 * model.stateByteCount)
    for head in try await session.gauge().layers.flatMap(\.heads) { #expect(head.norm.isFinite && head.norm >= 0) }
  }

  static let mitigations = [
    "rri:retention=0.999,insertion=0.9", "dt-scale:scale=0.9", "a-scale:scale=1.1", "token-filter:threshold=0.01", "state-norm:cap=10,grid=64",
    "window:length=64,grid=16,fade=16", "window:length=64,grid=16,form=subtractive", "window:length=64,grid=16,form=two-stack",
    "reset:every=128,keep=64,grid=64",
  ]

  /// Each either changes the stream, the same for every cut, or is refused with the layer and the reason.
  @Test(arguments: fixtures)
  func mitigationsWorkOrSayWhy(fixture: String) async throws {
    let plain = try await Self.model(fixture)
    let ids = Self.ids(plain, 300)
    for text in Self.mitigations {
      let mitigated: Model
      do { mitigated = try plain.mitigated(by: [Mitigation(text)]) } catch let error as MeanderError {
        #expect(error.code == .unsupported, "\(text): \(error)")
        #expect(error.what.contains("layer") || error.what.contains("recurrent"), "\(text): \(error)")
        continue
      }
      let (whole, parts) = (try Session(mitigated), try Session(mitigated))
      try await whole.feed(ids: ids)
      for start in stride(from: 0, to: 300, by: 43) { try await parts.feed(ids: Array(ids[start..<min(300, start + 43)])) }
      let resumed = try Session(mitigated, from: Snapshot(bytes: await parts.snapshot().bytes()))
      #expect(try await resumed.logits().map(\.bitPattern) == (try await whole.logits().map(\.bitPattern)), "\(text)")
    }
  }
}
