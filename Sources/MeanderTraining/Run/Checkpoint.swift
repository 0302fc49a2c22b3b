import MeanderErrors
import MeanderFiles
import MeanderKernels
import MeanderModels

// A checkpoint holds everything that decides how a run goes on: weights, moments, averages, carried states, where each source
// stands, and the recipe that it belongs to. It is one safetensors file, written atomically; the newest two are kept.
extension Trainer {
  /// Writes the run as it stands to `path`.
  package func write(checkpoint path: String) throws {
    var writer = SafeTensorsWriter()
    var positions: [(String, JSON)] = []
    for (source, rows) in lanes.states.enumerated() where !recipe.compactsCheckpoints {
      for (row, state) in rows.enumerated() {
        guard let state else { continue }
        positions.append(("\(source).\(row)", JSON(Int(state.position))))
        for region in state.layout.regions {
          try writer.add(
            "lanes.\(source).\(row).\(region.name)", region.type, region.shape, bytes: state.bytes(of: region))
        }
      }
    }
    for (name, storage) in storages {
      for entry in model.parameters.entries {
        let values = model.parameters.matrix(entry, in: storage).array()
        if recipe.compactsCheckpoints, name != "weights" {
          try writer.add("\(name).\(entry.name)", .bf16, entry.shape, bytes: Narrowing.bf16(values))
        } else {
          try writer.add("\(name).\(entry.name)", entry.shape, floats: values)
        }
      }
    }
    for (name, storage) in lanes.trained?.storages ?? [] {
      for region in lanes.trained?.regions ?? [] {
        try writer.add("\(name).\(region.name)", region.shape, floats: region.matrix(in: storage).array())
      }
    }
    try writer.add("noise", [lanes.noiseMoments.count], doubles: lanes.noiseMoments)
    writer.metadata = [
      "format": Self.checkpointFormat,
      "recipe": String(decoding: recipe.identity.write(), as: UTF8.self),
      "step": "\(step)", "tokens": "\(tokens)", "optimizer_steps": "\(optimizerState.steps)",
      "state_steps": "\(lanes.trained?.steps ?? 0)",
      "sources": String(decoding: JSON.array(sources.map(\.position.json)).write(), as: UTF8.self),
      "positions": String(decoding: JSON(positions).write(), as: UTF8.self),
    ]
    try writer.write(to: path, mode: 0o644)
  }

  /// Goes on from a checkpoint of the same recipe. Throws `.badData` for another recipe's, and for a damaged file; the run is
  /// then not to be used.
  package func restore(checkpoint path: String) throws {
    let file = try FileBytes.mapping(path)
    let store = try TensorStore.open(safetensors: file)
    func text(_ key: String) throws -> String {
      guard let value = store.metadata[key] else { throw MeanderError(.badData, "the checkpoint lacks '\(key)'", at: path) }
      return value
    }
    func number(_ key: String) throws -> Int {
      guard let value = Int(try text(key)), value >= 0 else {
        throw MeanderError(.badData, "'\(key)' is no number", at: path)
      }
      return value
    }
    guard try text("format") == Self.checkpointFormat else {
      throw MeanderError(.unsupported, "this checkpoint is of another version", at: path)
    }
    guard try text("recipe") == String(decoding: recipe.identity.write(), as: UTF8.self) else {
      throw MeanderError(
        .badRequest, "the checkpoint belongs to another recipe", at: path,
        remedy: "Give back the recipe that it was made with, or start a run of its own with another output.")
    }
    for (name, storage) in storages {
      for entry in model.parameters.entries { try fill(model.parameters.matrix(entry, in: storage), "\(name).\(entry.name)", store) }
    }
    for (name, storage) in lanes.trained?.storages ?? [] {
      for region in lanes.trained?.regions ?? [] { try fill(region.matrix(in: storage), "\(name).\(region.name)", store) }
    }
    lanes.noiseMoments = try store.doubles("noise")
    let positions = try parse(try text("positions"), path)
    for (name, position) in positions.object?.members.map({ ($0.key, $0.value) }) ?? [] {
      let parts = name.split(separator: ".").compactMap { Int($0) }
      guard parts.count == 2, parts[0] < sources.count, parts[1] < recipe.batch, let position = position.integer else {
        throw MeanderError(.badData, "a lane \"\(name)\" that the recipe does not have", at: path)
      }
      let state = model.makeState()
      for region in state.layout.regions {
        try state.setBytes(of: region, try store.bytes("lanes.\(name).\(region.name)"))
      }
      state.setPosition(Int64(position))
      lanes.set(source: parts[0], row: parts[1], state)
    }
    let places = try parse(try text("sources"), path).array ?? []
    guard places.count == sources.count else { throw MeanderError(.badData, "the sources are not the recipe's", at: path) }
    for (source, place) in zip(sources, places) { try source.restore(SourcePosition(place)) }
    step = try number("step")
    tokens = Int64(try number("tokens"))
    optimizerState.steps = try number("optimizer_steps")
    lanes.trained?.steps = try number("state_steps")
  }

  /// Brings the carried states of all ranks together on rank 0, which writes the checkpoint. Every rank calls it.
  func gatherLanes() throws {
    guard let exchange, exchange.ranks > 1, !recipe.compactsCheckpoints else { return }
    var bytes: [UInt8] = []
    for (source, rows) in lanes.states.enumerated() {
      for row in ownRows {
        guard let state = rows[row] else { continue }
        for number in [Int64(source), Int64(row), state.position] { bytes += littleEndian(UInt64(bitPattern: number)) }
        bytes += state.storage.bytes(0..<model.layout.byteCount)
      }
    }
    let size = 24 + model.layout.byteCount
    for (rank, bytes) in try exchange.gather(bytes).enumerated() where rank != exchange.rank {
      for start in stride(from: 0, to: bytes.count - bytes.count % size, by: size) {
        let numbers = (0..<3).map { number in
          (0..<8).reduce(UInt64(0)) { $0 | UInt64(bytes[start + 8 * number + $1]) << UInt64(8 * $1) }
        }
        let state = model.makeState()
        state.storage.setBytes(at: 0, Array(bytes[start + 24..<start + size]))
        state.setPosition(Int64(bitPattern: numbers[2]))
        lanes.set(source: Int(numbers[0]), row: Int(numbers[1]), state)
      }
    }
  }

  /// Throws unless every rank of a distributed run stands where this one does, with the same recipe and weights.
  func agree() throws {
    guard let exchange, exchange.ranks > 1 else { return }
    var digest = UInt64(step)
    for byte in recipe.identity.write() { digest = (digest ^ UInt64(byte)) &* 0x100_0000_01b3 }
    for value in model.parameters.entries.flatMap({ model.parameters.matrix($0).array() }) {
      digest = SplitMix64.mixed(digest ^ UInt64(value.bitPattern))
    }
    // Few enough bits that the sum over all ranks is exact.
    let own = Double(digest >> 24)
    guard try exchange.sum([own])[0] == own * Double(exchange.ranks) else {
      throw MeanderError(
        .mismatch, "the ranks do not stand at the same step with the same recipe and weights", at: "rank \(exchange.rank)",
        remedy: "Give every rank the same recipe and the same output folder.")
    }
  }

  private func littleEndian(_ number: UInt64) -> [UInt8] { (0..<8).map { UInt8(truncatingIfNeeded: number >> ($0 * 8)) } }

  private static var checkpointFormat: String { "meander-training-1" }

  /// What the optimiser holds, by the name that the file gives it.
  private var storages: [(String, Storage)] {
    [("weights", model.parameters.storage), ("first", optimizerState.first), ("second", optimizerState.second)]
      + (optimizerState.average.map { [("average", $0)] } ?? [])
  }

  private func fill(_ matrix: Matrix, _ name: String, _ store: TensorStore) throws {
    let values = try store.floats(name)
    guard values.count == matrix.rows * matrix.columns else {
      throw MeanderError(.badData, "\(values.count) numbers instead of \(matrix.rows * matrix.columns)", at: "\(store.path), \(name)")
    }
    matrix.copy(from: Matrix(values, rows: matrix.rows, columns: matrix.columns))
  }

  private func parse(_ text: String, _ path: String) throws -> JSON { try JSON.parse(FileBytes(Array(text.utf8), path: path)) }
}

extension TrainedState {
  var storages: [(String, Storage)] { [("initial", value), ("initial_first", first), ("initial_second", second)] }
}

extension Recipe {
  /// What must not change between a checkpoint and the run that goes on from it: all but where and how often it writes, how
  /// long and at what rate it learns, and what is measured on the way.
  package var identity: JSON {
    let free = ["output", "checkpoint", "evaluation", "card", "store", "steps", "schedule", "optimizer"]
    return JSON((json.object?.members ?? []).filter { !free.contains($0.key) }.map { ($0.key, $0.value) })
  }
}
