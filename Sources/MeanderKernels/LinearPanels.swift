import CMeanderKernels

/// A head's stored state, N × P, as the chunks' kernel goes over it: 32 columns after the other, each panel a matrix of its own
/// without gaps, so that what three products read and write of it stays in the nearest cache. Rows and columns up to the next multiples
/// of 16 and 32 are zeros.
struct LinearPanels {
  /// Of a panel.
  static let width = 32

  /// Panels one after the other: (P / 32 · rows) × 32.
  let matrix: Matrix
  /// Rows of a panel.
  let rows: Int
  private let size, width: Int

  /// Room for a state, which is not written.
  init(size: Int, width: Int, in room: Arena) {
    (self.size, self.width, rows) = (size, width, LinearInputs.padded(size))
    matrix = room.matrix(rows: rows * ((width + Self.width - 1) / Self.width), columns: Self.width)
  }

  /// The parts of `state` and where they stand here.
  private func each(_ state: Matrix, _ body: (_ whole: Matrix, _ panel: Matrix) -> Void) {
    precondition(state.rows == size && state.columns == width, "a state of another shape")
    for first in stride(from: 0, to: width, by: Self.width) {
      let count = min(Self.width, width - first)
      let top = first / Self.width * rows
      body(state.columns(first..<first + count), matrix.rows(top..<top + size).columns(0..<count))
    }
  }

  func take(_ state: Matrix) {
    matrix.fill(0)
    each(state) { whole, panel in panel.copy(from: whole) }
  }

  func give(_ state: Matrix) { each(state) { whole, panel in whole.copy(from: panel) } }

  /// Multiplies row n of the state by exp(exponents[n]), or each by the only one.
  func scaleRows(_ exponents: [Double]) {
    for top in stride(from: 0, to: matrix.rows, by: rows) { matrix.rows(top..<top + size).scaleRows(exponents) }
  }

  /// Takes pending decays below the bound into the state; what is then pending.
  func fold(_ pending: [Double]) -> [Double] {
    guard pending.contains(where: { $0 < -16 }) else { return pending }
    scaleRows(pending.map { $0 < -16 ? $0 : 0 })
    return pending.map { $0 < -16 ? 0 : $0 }
  }
}
