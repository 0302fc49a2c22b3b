// One session reads a text once; 64 tasks then go on from copies of its state at the same time, and half of them are
// cancelled on the way. Exits with 1 when a position, an answer or the memory is not what it must be.
import Glibc
import Meander

let tasks = 64
let engine = try Engine()
let model = try await Model.load("passkey", engine: engine)
let loaded = engine.memoryReserved

func check(_ holds: Bool, _ promise: String) {
  if holds { return }
  print("WRONG: \(promise)")
  exit(1)
}

/// A task's own text: short for those that run to their end, endless for those that will be cancelled.
struct Pages: AsyncSequence, Sendable {
  let isEndless: Bool

  struct Iterator: AsyncIteratorProtocol {
    var left: Int
    mutating func next() async -> [UInt8]? {
      guard left > 0 else { return nil }
      left -= 1
      return Array("Nothing on this page is of any use to anybody. ".utf8)
    }
  }

  func makeAsyncIterator() -> Iterator { Iterator(left: isEndless ? .max : 40) }
}

/// The state after reading a page number of its own and 40 pages, and the answer to the question.
func answer(_ session: Session, task: Int, isEndless: Bool) async throws -> String {
  try await session.feed("Page \(task). ")
  try await session.feed(Pages(isEndless: isEndless))
  try await session.feed("What is the pass key? The pass key is ")
  var text = ""
  for try await token in session.generate(maximumTokens: 5) { text += token.text }
  return text
}

enum Outcome: Sendable {
  case answered(task: Int, text: String, position: Int64)
  case cancelled(task: Int, position: Int64, bytesRead: Int64)
}

func run() async throws -> [Outcome] {
  let trunk = try Session(model)
  try await trunk.feed("The pass key is 48213. Remember it. 48213 is the pass key. ")
  let start = trunk.position
  var sessions: [Session] = []
  for _ in 0..<tasks { sessions.append(try await trunk.fork()) }
  check(trunk.position == start, "forking leaves the trunk where it was")
  check(sessions.allSatisfy { $0.position == start }, "a fork stands where its trunk does")
  check(
    engine.memoryReserved - loaded == (tasks + 1) * model.stateByteCount, "a session costs one state, whatever it has read")

  var running: [Task<String, any Error>] = []
  for (task, session) in sessions.enumerated() {
    running.append(Task { try await answer(session, task: task, isEndless: task % 2 == 1) })
  }
  // The endless half is let on for a while, then cancelled.
  for task in stride(from: 1, to: tasks, by: 2) {
    while sessions[task].position < start + 2000 { await Task.yield() }
    running[task].cancel()
  }
  var outcomes: [Outcome] = []
  for (task, session) in sessions.enumerated() {
    do {
      outcomes.append(.answered(task: task, text: try await running[task].value, position: session.position))
    } catch let error as MeanderError where error.code == .cancelled {
      outcomes.append(.cancelled(task: task, position: session.position, bytesRead: session.bytesRead))
    }
  }
  return outcomes
}

var answered = 0
var cancelled = 0
for outcome in try await run() {
  switch outcome {
  case .answered(let task, let text, let position):
    answered += 1
    let read = 59 + "Page \(task). ".utf8.count + 40 * 47 + 38 + 5
    check(task % 2 == 0 && position == Int64(read), "task \(task) stands at \(read), not at \(position)")
    check(text == "48213", "task \(task) answered \(text)")
  case .cancelled(let task, let position, let bytesRead):
    cancelled += 1
    check(task % 2 == 1 && position == bytesRead, "task \(task) was cancelled between two bytes")
  }
}
check(answered == tasks / 2 && cancelled == tasks / 2, "half of the tasks answer and half are cancelled")
// Sessions are released with the tasks that held them.
for _ in 0..<10_000 where engine.memoryReserved != loaded { await Task.yield() }
check(engine.memoryReserved == loaded, "the memory of released sessions is given back")
print("\(answered) tasks answered from one warmed session, \(cancelled) were cancelled;")
print("a session takes \(model.stateByteCount) bytes of state, and \(model.weightByteCount) bytes of weights serve all.")
