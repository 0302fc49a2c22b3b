import COpenBLAS

/// Matrix products by OpenBLAS, for training alone: its result for a row changes with the rows beside it, so nothing between
/// a fed token and its logits may call it.
package enum OpenBLASProduct {
  /// a·b, m × n, of a (m × k) and b (k × n), all row-major. O(m·n·k).
  package static func multiply(_ a: [Float], _ b: [Float], m: Int, n: Int, k: Int) -> [Float] {
    precondition(a.count == m * k && b.count == k * n, "\(a.count) and \(b.count) numbers are no \(m)×\(k) and \(k)×\(n)")
    var c = [Float](repeating: 0, count: m * n)
    guard m > 0, n > 0, k > 0 else { return c }
    cblas_sgemm(
      CblasRowMajor, CblasNoTrans, CblasNoTrans, Int32(m), Int32(n), Int32(k), 1, a, Int32(k), b, Int32(n), 0, &c, Int32(n))
    return c
  }
}
