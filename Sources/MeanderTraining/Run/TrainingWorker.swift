import MeanderErrors
import MeanderFiles
import MeanderKernels
import MeanderModels

/// One thread's share of a training step: gradients of its own, an arena, and the passes over samples.
package final class TrainingWorker: @unchecked Sendable {
  // Safe as Sendable: one thread of the team uses it during a step, and the trainer between steps.
  package let kernels: Kernels
  let clock = KernelClock()
  /// The gradient of every parameter, a twin of their storage.
  package let gradient: Storage
  /// The gradient of the state that a pass moves.
  package let stateGradient: Storage
  /// The sum of `stateGradient` over samples that began with a learned state, where one is learned.
  let initialGradient: Storage?
  private let model: TrainableModel
  private let gradients = Gradients()
  private let arena: Arena
  private let tapeTokens: Int

  /// - Parameters:
  ///   - tapeTokens: how many tokens a tape may hold; a longer sample is gone back over in parts.
  ///   - trainsWeights: whether weights take gradients; a run that learns an initial state alone leaves them frozen.
  ///   - trainsState: whether an initial state is learned.
  package init(
    _ model: TrainableModel, blocks: Blocks, table: KernelTable, tapeTokens: Int, trainsWeights: Bool, trainsState: Bool
  ) {
    self.model = model
    self.tapeTokens = tapeTokens
    initialGradient = trainsState ? Storage(byteCount: model.layout.byteCount) : nil
    kernels = Kernels(table: table, team: WorkerTeam(threads: 1), compute: .fp32)
    gradient = Storage(byteCount: model.parameters.storage.byteCount)
    stateGradient = Storage(byteCount: model.layout.byteCount)
    arena = Arena(reserving: 4 * model.tapeFloats(tokens: 2 * tapeTokens, runs: 64, blocks))
    if trainsWeights { gradients.adopt(model.parameters.storage, twin: gradient) }
    gradients.adopt(arena.storage, twin: Storage(reserving: arena.byteCount))
  }

  /// Forgets the gradients of the last step.
  package func begin() {
    gradient.clear(0..<gradient.byteCount)
    initialGradient?.clear(0..<model.layout.byteCount)
  }

  /// Adds the gradient of the state before the last sample to that of the learned one.
  func gatherInitial() {
    guard let initialGradient else { return }
    for region in model.layout.regions where region.type == .f32 {
      kernels.add(region.matrix(in: stateGradient), to: region.matrix(in: initialGradient))
    }
  }

  /// What a pass is told beside its sample.
  package struct Orders {
    /// The factor on every loss, which makes sums into means.
    package var scale: Float
    package var recomputes = false
    package var dropped: Dropout?
    /// Told as soon as the sample has added all it will to a layer's gradients.
    package var completed: (@Sendable (_ layer: Int) -> Void)?

    package init(scale: Float, recomputes: Bool = false, dropped: Dropout? = nil) {
      (self.scale, self.recomputes, self.dropped) = (scale, recomputes, dropped)
    }
  }

  /// Moves `state` over a sample, and adds the gradient of its loss to `gradient`; `stateGradient` then holds that of the
  /// state before the sample.
  ///
  /// A sample that no tape holds is gone back over in parts, from stored states on two levels: about 2·√n of them for n parts,
  /// and two more forwards. The gradient is the same, to rounding.
  package func learn(_ sample: Sample, state: ModelState, blocks: Blocks, _ orders: Orders) throws -> LossSum {
    gradients.adopt(state.storage, twin: stateGradient)
    defer { gradients.forget(state.storage) }
    stateGradient.clear(0..<stateGradient.byteCount)
    let parts = self.parts(of: sample)
    if parts.count == 1 { return try back(parts[0], state, blocks, orders) }
    // The way back ends with the first part.
    var quiet = orders
    quiet.completed = nil

    var total = LossSum()
    let group = Int(Double(parts.count).squareRoot().rounded(.up))
    var starts: [ModelState] = []
    for (index, part) in parts.enumerated() {
      if index % group == 0 { starts.append(state.copy()) }
      forward(part, state, blocks, orders)
    }
    let end = state.copy()
    for (number, start) in starts.enumerated().reversed() {
      let members = parts[number * group..<min(parts.count, (number + 1) * group)]
      state.assign(start)
      var befores: [ModelState] = []
      for part in members {
        befores.append(state.copy())
        if befores.count < members.count { forward(part, state, blocks, orders) }
      }
      for (index, before) in befores.enumerated().reversed() {
        state.assign(before)
        let isLast = number == 0 && index == 0
        total += try back(members[members.startIndex + index], state, blocks, isLast ? orders : quiet)
      }
    }
    state.assign(end)
    return total
  }

  /// Moves `state` over a sample: what its targets cost, and nothing learned.
  package func measure(_ sample: Sample, state: ModelState, blocks: Blocks) -> LossSum {
    var total = LossSum()
    for part in parts(of: sample) {
      for segment in part {
        arena.reset()
        let operations = self.operations(Orders(scale: 1), segment)
        let hidden = model.forward(segment.tokens, blocks, state: state, operations)
        operations.crossEntropy(
          hidden, head: blocks.head, targets: segment.targets, weights: segment.weights, scale: 1
        ) { total += $0 }
      }
    }
    return total
  }

  /// Runs of segments that a tape holds.
  private func parts(of sample: Sample) -> [[Segment]] {
    var parts: [[Segment]] = []
    var count = 0
    for segment in sample.segments {
      if parts.isEmpty || count + segment.tokens.count > tapeTokens {
        parts.append([])
        count = 0
      }
      parts[parts.count - 1].append(segment)
      count += segment.tokens.count
    }
    return parts
  }

  private func operations(_ orders: Orders, _ segment: Segment, tape: Tape? = nil) -> Operations {
    var operations = Operations(kernels: kernels, arena: arena, form: .chunk, tape: tape)
    operations.repeats = segment.repeats
    operations.recomputes = orders.recomputes
    operations.dropped = orders.dropped
    operations.clock = clock
    return operations
  }

  private func forward(_ part: [Segment], _ state: ModelState, _ blocks: Blocks, _ orders: Orders) {
    for segment in part {
      arena.reset()
      _ = model.forward(segment.tokens, blocks, state: state, operations(orders, segment))
    }
  }

  /// Forth and back over one part. `stateGradient` goes from the state after it to the state before it.
  private func back(_ part: [Segment], _ state: ModelState, _ blocks: Blocks, _ orders: Orders) throws -> LossSum {
    arena.reset()
    let tape = Tape(gradients)
    var total = LossSum()
    for (index, segment) in part.enumerated() {
      var operations = self.operations(orders, segment, tape: tape)
      if index == 0 { operations.completed = orders.completed }
      let hidden = model.forward(segment.tokens, blocks, state: state, operations)
      operations.crossEntropy(
        hidden, head: blocks.head, targets: segment.targets, weights: segment.weights, scale: orders.scale
      ) { total += $0 }
    }
    gradients.clear(arena.storage, 0..<arena.mark())
    // A block that is computed again moves its part of the state again.
    let end = orders.recomputes ? state.copy() : nil
    try tape.backward()
    if let end { state.assign(end) }
    return total
  }
}
