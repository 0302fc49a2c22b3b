/// A trie over bytes, built once: all pieces that start at a place are found in one walk.
struct ByteTrie: Sendable {
  /// Children of node n are the edges `firstEdge[n]..<firstEdge[n + 1]`, ordered by label.
  private var firstEdge: [Int32] = []
  private var labels: [UInt8] = []
  private var targets: [Int32] = []
  /// The id that ends at each node, or -1.
  private var ids: [Int32] = []
  /// The root's children by label, or -1.
  private var fromRoot = [Int32](repeating: -1, count: 256)
  /// The longest piece, in bytes.
  private(set) var depth = 0

  static let root: Int32 = 0

  /// Complexity: O(bytes · log pieces). Empty pieces are left out; of equal ones the last counts.
  init(_ pieces: [(bytes: [UInt8], id: Int32)]) {
    let sorted = pieces.enumerated().filter { !$0.element.bytes.isEmpty }.sorted {
      $0.element.bytes == $1.element.bytes
        ? $0.offset < $1.offset : $0.element.bytes.lexicographicallyPrecedes($1.element.bytes)
    }.map(\.element)
    var queue: [(pieces: Range<Int>, depth: Int)] = [(0..<sorted.count, 0)]
    ids = [-1]
    var node = 0
    while node < queue.count {
      var (range, level) = queue[node]
      firstEdge.append(Int32(labels.count))
      depth = max(depth, level)
      while let first = range.first, sorted[first].bytes.count == level {
        ids[node] = sorted[first].id
        range = first + 1..<range.upperBound
      }
      while let first = range.first {
        let label = sorted[first].bytes[level]
        let end = range.first { sorted[$0].bytes[level] != label } ?? range.upperBound
        labels.append(label)
        targets.append(Int32(queue.count))
        queue.append((first..<end, level + 1))
        ids.append(-1)
        range = end..<range.upperBound
      }
      node += 1
    }
    firstEdge.append(Int32(labels.count))
    for edge in 0..<Int(firstEdge[1]) { fromRoot[Int(labels[edge])] = targets[edge] }
  }

  var isEmpty: Bool { labels.isEmpty }

  /// The node reached from `node` by `byte`, or nil.
  @inline(__always)
  func step(_ node: Int32, _ byte: UInt8) -> Int32? {
    if node == Self.root {
      let target = fromRoot[Int(byte)]
      return target < 0 ? nil : target
    }
    var low = Int(firstEdge[Int(node)])
    var high = Int(firstEdge[Int(node) + 1])
    while low < high {
      let middle = (low + high) / 2
      if labels[middle] < byte { low = middle + 1 } else { high = middle }
    }
    guard low < Int(firstEdge[Int(node) + 1]), labels[low] == byte else { return nil }
    return targets[low]
  }

  /// The id of the piece that ends at `node`, or -1.
  @inline(__always)
  func id(at node: Int32) -> Int32 { ids[Int(node)] }

  @inline(__always)
  func hasChildren(_ node: Int32) -> Bool { firstEdge[Int(node)] < firstEdge[Int(node) + 1] }

  enum Match: Equatable {
    case found(id: Int32, end: Int)
    case none
    /// The bytes end inside a piece: more of them could make it longer.
    case open
  }

  /// The longest piece that starts at `start`. `open` is answered only while not `atEnd`.
  func longest(in text: [UInt8], from start: Int, atEnd: Bool) -> Match {
    var node = Self.root
    var best = Match.none
    var place = start
    while place < text.count {
      guard let next = step(node, text[place]) else { return best }
      node = next
      place += 1
      if id(at: node) >= 0 { best = .found(id: id(at: node), end: place) }
    }
    return atEnd || !hasChildren(node) ? best : .open
  }
}
