import Glibc

/// Numbers as charts show them, short.
package enum Figure {
  /// Three significant digits at most, with k, M and G for thousands, and powers of ten where that would be longer:
  /// `0.25`, `1500`, `12k`, `3e-5`.
  package static func compact(_ value: Double) -> String {
    guard value.isFinite else { return value.isNaN ? "nan" : value < 0 ? "-inf" : "inf" }
    let size = value.magnitude
    if size == 0 { return "0" }
    if size < 0.001 || size >= 1e13 { return exponential(value) }
    for (unit, scale) in [("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)] {
      if size >= scale * (scale == 1e3 ? 9.9995 : 0.9995) { return significant(value / scale) + unit }
    }
    return size >= 999.5 ? String(Int(value.rounded())) : significant(value)
  }

  /// A length in bytes or tokens, in powers of 1024 where it is a multiple of one: `512`, `64K`, `1M`; else of 1000.
  package static func length(_ value: Double) -> String {
    for (unit, scale) in [("G", 1 << 30), ("M", 1 << 20), ("K", 1 << 10)] {
      if value >= Double(scale), let whole = Int(exactly: value), whole.isMultiple(of: scale) {
        return "\(whole / scale)\(unit)"
      }
    }
    if value >= 1000, value < 1e6 { return significant(value / 1000) + "K" }
    return compact(value)
  }

  /// `97`, `99.5`: a share in percent, without its sign.
  package static func percent(_ value: Double) -> String {
    fixed(value * 100, places: value * 1000 == (value * 1000).rounded() ? 1 : 2)
  }

  /// At most `places` digits behind the point, zeros at the end left out.
  package static func fixed(_ value: Double, places: Int) -> String {
    guard value.isFinite, value.magnitude < 1e15 else { return "0" }
    let scale = (0..<places).reduce(1.0) { product, _ in product * 10 }
    let scaled = Int((value.magnitude * scale).rounded(.toNearestOrAwayFromZero))
    let unit = Int(scale)
    var text = String(scaled / unit)
    var digits = String(scaled % unit)
    digits = String(repeating: "0", count: places - min(places, digits.count)) + digits
    while digits.last == "0" { digits.removeLast() }
    if places > 0, !digits.isEmpty { text += "." + digits }
    return (value < 0 && scaled > 0 ? "-" : "") + text
  }

  /// Three significant digits of a number from 0.001 to 1000.
  private static func significant(_ value: Double) -> String {
    let places = 2 - Int(floor(log10(value.magnitude)))
    return fixed(value, places: min(5, max(0, places)))
  }

  private static func exponential(_ value: Double) -> String {
    var exponent = Int(floor(log10(value.magnitude)))
    var mantissa = value / pow(10, Double(exponent))
    if mantissa.magnitude >= 9.995 {
      mantissa /= 10
      exponent += 1
    }
    return fixed(mantissa, places: 2) + "e\(exponent)"
  }
}
