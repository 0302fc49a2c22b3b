import MeanderKernels

/// What the published fits of Stuffed Mamba (arXiv 2410.07145) expect of a recurrent state of this size.
///
/// N_S in millions of floats of state, K-1 convolution taps included; lengths in thousands of tokens:
/// T_forget = 5.172 N_S - 4.469, T_recall = 4.756 (1.365^N_S - 1) - 0.742. Six points lie behind them, from
/// 1.1 to 12.9.
struct CapacityRegime {
  /// N_S · 10^6
  let stateFloats: Int
  private static let measured = 1.1...12.9

  private var millions: Double { Double(stateFloats) / 1e6 }

  /// The least training length, in tokens, from which such a state learns to forget; nil below the fit's
  /// zero.
  var forgetting: Double? { positive(5.172 * millions - 4.469) }
  /// The longest context, in tokens, over which it recalls a key more than 95 times in 100; nil below the
  /// fit's zero.
  var recall: Double? { positive(4.756 * (exponential(millions * 0.3111540) - 1) - 0.742) }
  /// Whether the size lies outside of what the fits were made from.
  var isExtrapolated: Bool { !Self.measured.contains(millions) }

  private func positive(_ thousands: Double) -> Double? { thousands > 0 ? thousands * 1000 : nil }

  var rows: [(String, String)] {
    let below = "below the fit's zero: no length is expected of so small a state"
    var rows = [
      ("regime", "\(decimal(millions, places: 3)) M floats of recurrent state"),
      ("  forgets", forgetting.map { "when trained beyond \(tokens($0))" } ?? below),
      ("  recalls", recall.map { "a key over up to \(tokens($0))" } ?? below),
    ]
    if isExtrapolated {
      rows.append(("  caution", "an extrapolation: the fits were made from 1.1 to 12.9 M floats"))
    }
    return rows
  }

  func write(to row: inout JSONText) {
    row.field("state_floats", stateFloats)
    if let forgetting { row.field("forgetting_length_tokens", forgetting, places: 0) }
    if let recall { row.field("recall_length_tokens", recall, places: 0) }
    row.field("extrapolated", isExtrapolated)
    row.field("source", "arXiv:2410.07145")
  }

  private func tokens(_ count: Double) -> String {
    count < 1e15 ? "\(scaled(count).trimmedEnd) tokens" : "more tokens than can be read"
  }
}
