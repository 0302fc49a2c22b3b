/// The members of an object, in the file's order; no key stands twice.
///
/// Keys are the same when their bytes are. A vocabulary may well hold a letter both precomposed and as letter
/// and accent, which `String` holds for equal.
package struct JSONObject: Sendable, Equatable {
  package struct Member: Sendable, Equatable {
    package var key: String
    package var value: JSON

    package init(key: String, value: JSON) {
      self.key = key
      self.value = value
    }

    package static func == (a: Member, b: Member) -> Bool { Key(a.key) == Key(b.key) && a.value == b.value }
  }

  /// A string as its bytes.
  private struct Key: Hashable {
    let text: String

    init(_ text: String) { self.text = text }

    static func == (a: Key, b: Key) -> Bool {
      a.text.utf8.count == b.text.utf8.count && a.text.utf8.elementsEqual(b.text.utf8)
    }

    func hash(into hasher: inout Hasher) {
      // Safe: the bytes are read inside the call. Foreign strings are copied, parsed ones need not be.
      let hashed: Void? = text.utf8.withContiguousStorageIfAvailable {
        hasher.combine(bytes: UnsafeRawBufferPointer($0))
      }
      if hashed == nil { Array(text.utf8).withUnsafeBytes { hasher.combine(bytes: $0) } }
    }
  }

  package private(set) var members: [Member] = []
  // Place by key, once there are more members than a look along them is worth.
  private var places: [Key: Int] = [:]
  private static let scanned = 8

  package init() {}

  /// The members in their order; of a key that stands twice, the first.
  package init(_ members: [(String, JSON)]) {
    for (key, value) in members { _ = append(key, value) }
  }

  package var count: Int { members.count }
  package var keys: [String] { members.map(\.key) }

  /// The value of `key`; O(1).
  package subscript(key: String) -> JSON? { place(Key(key)).map { members[$0].value } }

  /// Adds a member at the end; false, and nothing added, where the key is there already. Amortized O(1).
  package mutating func append(_ key: String, _ value: JSON) -> Bool {
    if members.count == Self.scanned {
      for (place, member) in members.enumerated() { places[Key(member.key)] = place }
    }
    if members.count >= Self.scanned {
      if let earlier = places.updateValue(members.count, forKey: Key(key)) {
        places[Key(key)] = earlier
        return false
      }
    } else if place(Key(key)) != nil {
      return false
    }
    members.append(Member(key: key, value: value))
    return true
  }

  package static func == (a: JSONObject, b: JSONObject) -> Bool { a.members == b.members }

  private func place(_ key: Key) -> Int? {
    members.count > Self.scanned ? places[key] : members.firstIndex { Key($0.key) == key }
  }
}
