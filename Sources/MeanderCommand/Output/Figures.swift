// Figures as people read them. Foundation's formatters would bring 40 MB of Unicode data into the program.

/// `value` with exactly `places` digits after the point, rounded half away from zero.
func decimal(_ value: Double, places: Int) -> String {
  guard value.isFinite else { return value.isNaN ? "nan" : value < 0 ? "-inf" : "inf" }
  let scale = (0..<places).reduce(1.0) { product, _ in product * 10 }
  let scaled = (value.magnitude * scale).rounded(.toNearestOrAwayFromZero)
  guard scaled < 0x1p63 else { return String(value) }
  let digits = String(UInt64(scaled))
  let padded = String(repeating: "0", count: max(0, places + 1 - digits.count)) + digits
  let sign = value < 0 && scaled > 0 ? "-" : ""
  guard places > 0 else { return sign + padded }
  return sign + padded.dropLast(places) + "." + padded.suffix(places)
}

/// `1,234,567`.
func grouped(_ value: some BinaryInteger) -> String {
  let digits = Array(String(value.magnitude))
  var text = value < 0 ? "-" : ""
  for (index, digit) in digits.enumerated() {
    if index > 0, (digits.count - index).isMultiple(of: 3) { text += "," }
    text.append(digit)
  }
  return text
}

/// `1.23 MB`, in powers of 1000.
func size(_ bytes: some BinaryInteger) -> String { scaled(Double(bytes)) + "B" }

/// `12.3 M`, in powers of 1000, three digits.
func scaled(_ value: Double) -> String {
  var value = value
  var unit = 0
  let units = ["", "k", "M", "G", "T", "P"]
  while value.magnitude >= 999.5, unit < units.count - 1 {
    value /= 1000
    unit += 1
  }
  let places = unit == 0 || value.magnitude >= 99.95 ? 0 : value.magnitude >= 9.995 ? 1 : 2
  return decimal(value, places: places) + " " + units[unit]
}

/// `59 s`, `12 min 30 s`, `3 h 12 min`.
func duration(seconds: Double) -> String {
  let seconds = Int(clamping: Int64(min(max(seconds, 0), 1e15)))
  switch seconds {
  case ..<60: return "\(seconds) s"
  case ..<3600: return "\(seconds / 60) min \(seconds % 60) s"
  default: return "\(seconds / 3600) h \(seconds / 60 % 60) min"
  }
}

extension Duration {
  /// In seconds.
  var seconds: Double { Double(components.seconds) + Double(components.attoseconds) * 1e-18 }
}

extension String {
  /// Without the space that a figure without a unit ends in.
  var trimmedEnd: String { last == " " ? String(dropLast()) : self }
  func leftPadded(to width: Int) -> String { String(repeating: " ", count: Swift.max(0, width - count)) + self }
  func rightPadded(to width: Int) -> String { self + String(repeating: " ", count: Swift.max(0, width - count)) }
}
