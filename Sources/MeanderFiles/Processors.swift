/// How many processors this process may use.
package enum Processors {
  /// The processors of this process's affinity, capped by the control group's quota (version 2 or 1), rounded
  /// up; at least 1.
  package static var available: Int {
    let allowed = affinity
    guard let quota = ControlGroup.quota(groups: SystemFile.text("/proc/self/cgroup") ?? "", SystemFile.text)
    else {
      return allowed
    }
    return max(1, min(allowed, Int(quota.rounded(.up))))
  }

  /// The processors that this process may run on, from the mask of hexadecimal digits that the kernel shows.
  static var affinity: Int {
    let line = SystemFile.text("/proc/self/status")?.split(separator: "\n").first {
      $0.hasPrefix("Cpus_allowed:")
    }
    let mask = line?.drop { $0 != ":" } ?? ""
    return max(1, mask.reduce(0) { $0 + ($1.hexDigitValue?.nonzeroBitCount ?? 0) })
  }
}

/// The share of the processors that a control group leaves to its members.
package enum ControlGroup {
  /// The smallest quota, in processors, of the group and all groups around it; nil where there is none.
  /// `groups` is the text of `/proc/self/cgroup`, and `read` gives the text of a file.
  package static func quota(groups: String, _ read: (String) -> String?) -> Double? {
    var smallest: Double?
    for line in groups.split(separator: "\n") {
      let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
      guard fields.count == 3 else { continue }
      let controllers = fields[1].split(separator: ",")
      guard controllers.isEmpty || controllers.contains("cpu") else { continue }
      let root = controllers.isEmpty ? "/sys/fs/cgroup" : "/sys/fs/cgroup/\(fields[1])"
      var path = fields[2].split(separator: "/")
      while true {
        let folder = ([Substring(root)] + path).joined(separator: "/")
        let quota = controllers.isEmpty ? version2(folder, read) : version1(folder, read)
        if let quota { smallest = min(smallest ?? quota, quota) }
        if path.popLast() == nil { break }
      }
    }
    return smallest
  }

  private static func version2(_ folder: String, _ read: (String) -> String?) -> Double? {
    ratio(read("\(folder)/cpu.max")?.split { $0 == " " || $0 == "\n" } ?? [])
  }

  private static func version1(_ folder: String, _ read: (String) -> String?) -> Double? {
    let values = ["cpu.cfs_quota_us", "cpu.cfs_period_us"].compactMap { read("\(folder)/\($0)") }
    return ratio(values.flatMap { $0.split(separator: "\n") })
  }

  /// Quota over period; nil for "max" and -1, which mean none.
  private static func ratio(_ words: [Substring]) -> Double? {
    guard words.count == 2, let quota = Double(words[0]), let period = Double(words[1]), quota > 0, period > 0
    else {
      return nil
    }
    return quota / period
  }
}
