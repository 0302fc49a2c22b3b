/// A day and its time, for templates that tell a model of it.
struct TemplateDate: Sendable {
  private let year, month, day, weekday, second: Int

  /// - Parameter seconds: since the beginning of 1970, as the clock on the wall counts them.
  init(seconds: Int) {
    let days = (seconds - (seconds % 86_400 + 86_400) % 86_400) / 86_400
    second = (seconds % 86_400 + 86_400) % 86_400
    weekday = ((days + 4) % 7 + 7) % 7
    var (year, rest) = (1970, days)
    func length(_ year: Int) -> Int { year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 366 : 365 }
    while rest < 0 {
      year -= 1
      rest += length(year)
    }
    while rest >= length(year) {
      rest -= length(year)
      year += 1
    }
    var month = 0
    let lengths = [31, length(year) == 366 ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
    while rest >= lengths[month] {
      rest -= lengths[month]
      month += 1
    }
    (self.year, self.month, day) = (year, month + 1, rest + 1)
  }

  private static let months = [
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December",
  ]
  private static let weekdays = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"]
  static let letters = "%Y %m %d %B %b %A %a %H %M %S"

  /// C's strftime; nil for a letter that is not known.
  func formatted(_ format: String) -> String? {
    func two(_ number: Int) -> String { number < 10 ? "0\(number)" : String(number) }
    var result = ""
    var scalars = format.unicodeScalars[...]
    while let scalar = scalars.popFirst() {
      guard scalar == "%" else {
        result.unicodeScalars.append(scalar)
        continue
      }
      switch scalars.popFirst() {
      case "Y": result += String(year)
      case "m": result += two(month)
      case "d": result += two(day)
      case "B": result += Self.months[month - 1]
      case "b": result += Self.months[month - 1].prefix(3)
      case "A": result += Self.weekdays[weekday]
      case "a": result += Self.weekdays[weekday].prefix(3)
      case "H": result += two(second / 3600)
      case "M": result += two(second / 60 % 60)
      case "S": result += two(second % 60)
      case "%": result += "%"
      default: return nil
      }
    }
    return result
  }
}
