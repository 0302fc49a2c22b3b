import MeanderErrors
import MeanderKernels
import Synchronization

// Where weights are small, sharing every operation out costs more than it gains: rows and columns wander between the
// caches of the cores. So a piece of a stream is cut into runs of tokens, and each worker takes a step over a run at a
// time: step l over run r follows step l - 1 over run r and step l over run r - 1. The bits are the same, for no cut
// of the input changes them.
extension Blocks {
  /// Tokens that a layer takes at a time: more would leave workers waiting at both ends of a piece, fewer would make
  /// operations too small. 64 was the fastest of 32 to 256 where it was measured.
  private static let run = 64
  /// Weights of this many bytes at most, all in all: they are read again for every run, so they must stay in cache.
  private static let largestWeights = 16 << 20

  /// Whether a piece of `count` tokens goes in a wavefront.
  func takesWavefront(_ count: Int, weightByteCount: Int, _ operations: Operations) -> Bool {
    let threads = operations.kernels.team.threads
    return threads > 1 && count > Self.run && 2 * steps.count >= 3 * threads && weightByteCount <= Self.largestWeights
      && operations.tape == nil && operations.stepObserver == nil
  }

  /// What `forward` does, its steps and runs of tokens shared out over the team.
  func forwardInWavefront(
    _ ids: ArraySlice<Int32>, position: Int64, states: [MixerState], outputs: Int, lanes: WavefrontLanes,
    _ operations: Operations
  ) -> Matrix {
    let residual = operations.embed(ids, position: position, self)
    let carried = operations.carried(residual, self)
    let count = ids.count
    let runs = (count + Self.run - 1) / Self.run
    let wavefront = Wavefront(weights: wavefrontWeights(asked: outputs, of: count), runs: runs)
    let (team, form) = (operations.kernels.team, operations.form)
    team.run(team.threads) { worker in
      let own = Operations(kernels: lanes.kernels[worker], arena: lanes.arenas[worker], form: form)
      while let (step, run) = wavefront.next() {
        let rows = run * Self.run..<min(count, (run + 1) * Self.run)
        let isLast = step == steps.count - 1
        let asked = isLast ? max(0, rows.upperBound - max(rows.lowerBound, count - outputs)) : rows.count
        own.arena.reset()
        _ = forward(
          step, ids[ids.startIndex + rows.lowerBound..<ids.startIndex + rows.upperBound], residual.rows(rows),
          carried: carried?.rows(rows), position: position + Int64(rows.lowerBound), state: states[step], outputs: asked, own)
        wavefront.finish(step)
      }
    }
    return operations.norm(residual.rows(count - outputs..<count), finalNorm)
  }

  /// About how much work a step is beside the others: one that has its projections at hand, or is asked for next to no
  /// outputs, is half of it.
  private func wavefrontWeights(asked outputs: Int, of count: Int) -> [Int] {
    steps.indices.map { step in
      let isEasy = steps[step].mixer.tableByteCount > 0 || step == steps.count - 1 && 2 * outputs < count
      return isEasy ? 1 : 2
    }
  }

  /// What each worker of a wavefront has for itself.
  func wavefrontLanes(_ kernels: Kernels) -> WavefrontLanes {
    let scratch = steps.reduce(0) { max($0, $1.mixer.scratchPerToken) } + 6 * embedding.packed.inner + 64
    return WavefrontLanes(
      kernels: (0..<kernels.team.threads).map { _ in
        Kernels(table: kernels.table, team: WorkerTeam(threads: 1), compute: kernels.compute)
      },
      arenas: (0..<kernels.team.threads).map { _ in Arena(byteCount: 4 * (Self.run + 16) * scratch + (64 << 10)) })
  }
}

/// Kernels without a team, and scratch memory, for each worker of a wavefront.
struct WavefrontLanes: @unchecked Sendable {
  // Safe as Sendable: worker i alone uses the i-th of each while a wavefront runs.
  let kernels: [Kernels]
  let arenas: [Arena]
}

/// Which layer goes over which run next.
private final class Wavefront: Sendable {
  private let weights: [Int]
  private let runs: Int
  private let progress: Mutex<Progress>

  private struct Progress {
    /// Per layer, how many runs it went over, and whether it is at one.
    var finished: [Int]
    var isBusy: [Bool]
  }

  init(weights: [Int], runs: Int) {
    self.weights = weights
    self.runs = runs
    progress = Mutex(
      Progress(
        finished: Array(repeating: 0, count: weights.count), isBusy: Array(repeating: false, count: weights.count)))
  }

  /// A layer and the run that it may go over, the layer that has most work before it; waits where all is taken, and is
  /// nil when all is done.
  func next() -> (layer: Int, run: Int)? {
    while true {
      var isDone = false
      let claimed: (Int, Int)? = progress.withLock { progress in
        isDone = progress.finished.last == runs
        var (best, most): (Int?, Int) = (nil, 0)
        for layer in progress.finished.indices where !progress.isBusy[layer] {
          let done = progress.finished[layer]
          guard done < (layer == 0 ? runs : progress.finished[layer - 1]) else { continue }
          let left = weights[layer] * (runs - done)
          if left >= most { (best, most) = (layer, left) }
        }
        guard let best else { return nil }
        progress.isBusy[best] = true
        return (best, progress.finished[best])
      }
      if let claimed { return claimed }
      if isDone { return nil }
      WorkerTeam.pause()
    }
  }

  func finish(_ layer: Int) {
    progress.withLock { progress in
      progress.isBusy[layer] = false
      progress.finished[layer] += 1
    }
  }
}
