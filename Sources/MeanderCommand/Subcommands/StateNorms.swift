import Meander
import MeanderFiles
import MeanderKernels

/// The norms of a state's regions: of each head of a recurrent state, else of the whole.
struct StateNorms {
  struct Region {
    var name: String
    var type: String
    var shape: [Int]
    /// One for each head.
    var norms: [Double]
  }

  let regions: [Region]

  init(_ snapshot: Snapshot) {
    regions = snapshot.tellingRegions.map { region in
      let rows = snapshot.heads(of: region).map { head in head.reduce(0) { $0 + $1 * $1 }.squareRoot() }
      return Region(name: region.name, type: region.type.rawValue, shape: region.shape, norms: rows)
    }
  }

  /// One line for each region, wrapped where it has many heads.
  var lines: [String] { regions.flatMap { tabulated($0.name, $0.norms) } }
}

/// How far two states of one model lie apart.
struct StateDistances {
  private var regions: [(name: String, distances: [Double])] = []
  private(set) var areIdentical = true

  init(_ first: Snapshot, _ second: Snapshot, places: (String, String)) throws {
    areIdentical = first.position == second.position
    for region in first.regions where !second.regions.contains(region) { areIdentical = false }
    for region in first.tellingRegions {
      guard let other = second.regions.first(where: { $0.name == region.name }), other.shape == region.shape,
        other.type == region.type
      else {
        throw MeanderError(.badData, "\(region.name) is missing or of another shape", at: places.1)
      }
      let distances = zip(first.heads(of: region), second.heads(of: other)).map { head, otherHead in
        let norm = head.reduce(0) { $0 + $1 * $1 }
        let difference = zip(head, otherHead).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
        return difference == 0 ? 0 : norm == 0 ? .infinity : (difference / norm).squareRoot()
      }
      regions.append((region.name, distances))
    }
  }

  var lines: [String] {
    (areIdentical ? ["the states are identical to the bit"] : []) + regions.flatMap { tabulated($0.name, $0.distances) }
  }

  func write(to row: inout JSONText) {
    for region in regions {
      row.array(region.name) { list in region.distances.forEach { list.element($0, places: 9) } }
    }
  }
}

/// A name and its figures, six to a line.
private func tabulated(_ name: String, _ values: [Double]) -> [String] {
  stride(from: 0, to: values.count, by: 6).map { start in
    let label = start == 0 ? name : ""
    let figures = values[start...].prefix(6).map { compact($0).leftPadded(to: 8) }
    return label.rightPadded(to: 18) + figures.joined()
  }
}

/// Three digits or so, in seven columns.
private func compact(_ value: Double) -> String {
  guard value.isFinite else { return "inf" }
  if value == 0 { return "0" }
  if value >= 1e5 || value < 1e-3 {
    var exponent = 0
    var leading = value
    while leading >= 9.995 { (leading, exponent) = (leading / 10, exponent + 1) }
    while leading < 0.9995 { (leading, exponent) = (leading * 10, exponent - 1) }
    return "\(decimal(leading, places: 1))e\(exponent)"
  }
  return decimal(value, places: value >= 100 ? 1 : value >= 1 ? 3 : 5)
}

extension Snapshot {
  /// The regions whose size says something: recurrent states, convolution windows, the last hidden row. In
  /// the order of the layers, `layers.2` before `layers.10`.
  fileprivate var tellingRegions: [Region] {
    func key(_ name: String) -> (Int, String) {
      let parts = name.split(separator: ".")
      guard parts.count > 1, let layer = Int(parts[1]) else { return (.max, name) }
      return (layer, name)
    }
    let names = ["ssm", "conv", "hidden"]
    return regions.filter { region in names.contains { region.name.hasSuffix($0) } }.sorted {
      key($0.name) < key($1.name)
    }
  }

  /// The numbers of a region, head by head; one that has no heads is one. Decay that is pending is multiplied
  /// in.
  fileprivate func heads(of region: Region) -> [[Double]] {
    let count = region.shape.count == 3 && region.name.hasSuffix(".ssm") ? region.shape[0] : 1
    let values = region.numbers
    let size = count == 0 ? 0 : values.count / count
    let pending = regions.first { $0.name == region.name.dropLast(3) + "pending" }?.numbers ?? []
    return (0..<count).map { head in
      let decay = pending.count == count ? exponential(pending[head]) : 1
      return values[head * size..<(head + 1) * size].map { $0 * decay }
    }
  }
}

extension Snapshot.Region {
  fileprivate var numbers: [Double] {
    func words<Word: FixedWidthInteger>(_: Word.Type) -> [Word] {
      let width = MemoryLayout<Word>.size
      return stride(from: 0, to: bytes.count - width + 1, by: width).map { start in
        (0..<width).reversed().reduce(0) { ($0 << 8) | Word(bytes[start + $1]) }
      }
    }
    switch type {
    case .f32: return words(UInt32.self).map { Double(Float(bitPattern: $0)) }
    case .f64: return words(UInt64.self).map { Double(bitPattern: $0) }
    default: return []
    }
  }
}
