import MeanderErrors

/// The members of a zip archive that holds them uncompressed, as PyTorch's checkpoints do.
///
/// PKWARE's APPNOTE 6.3 with the 64-bit records. Nothing is trusted: every range is checked against the file,
/// no two members may share a byte, no two a name, and compressed or encrypted members are refused, so that
/// nothing unpacks to more than the file holds. Checksums are left unread, as PyTorch itself leaves them: it
/// may be told to write none (`torch.serialization.set_crc32_options`), and the weights would be read twice.
struct ZipArchive {
  /// Where each member's bytes lie in the file.
  let members: [String: Range<Int>]

  /// Whether `bytes` begins as a zip archive with members does.
  static func isArchive(_ bytes: FileBytes) -> Bool {
    bytes.withBytes { $0.number(0, as: UInt32.self) } == localSignature
  }

  private static let localSignature: UInt32 = 0x0403_4B50
  private static let centralSignature: UInt32 = 0x0201_4B50
  private static let endSignature: UInt32 = 0x0605_4B50
  private static let end64Signature: UInt32 = 0x0606_4B50
  private static let locator64Signature: UInt32 = 0x0706_4B50

  init(_ bytes: FileBytes) throws {
    members = try bytes.withBytes { try Reader(path: bytes.path).members($0) }
  }

  /// One entry of the central directory.
  private struct Entry {
    let name: String
    let size: Int
    let header: Int
  }

  private struct Reader {
    let path: String

    func failure(_ what: String, _ offset: Int) -> MeanderError {
      MeanderError(
        .badData, "this is not an archive of tensors: \(what)", at: "\(path), byte \(offset)",
        remedy: "Fetch the file again, or save the weights as safetensors.")
    }

    func number<Number: FixedWidthInteger & BitwiseCopyable>(
      _ bytes: RawSpan, _ offset: Int, _ type: Number.Type
    ) throws -> Int {
      guard let value = bytes.number(offset, as: type), let value = Int(exactly: value) else {
        throw failure("it ends early, or a number passes 63 bits", offset)
      }
      return value
    }

    func members(_ bytes: RawSpan) throws -> [String: Range<Int>] {
      let directory = try directory(bytes)
      var members: [String: Range<Int>] = [:]
      var occupied: [Range<Int>] = []
      var position = directory.range.lowerBound
      for _ in 0..<directory.count {
        let (entry, next) = try entry(bytes, position, directory.range.upperBound)
        let data = try data(bytes, entry, end: directory.range.lowerBound)
        guard members.updateValue(data, forKey: entry.name) == nil else {
          throw failure("the member \(entry.name) stands twice", position)
        }
        occupied.append(entry.header..<data.upperBound)
        position = next
      }
      occupied.sort { $0.lowerBound < $1.lowerBound }
      for (one, next) in zip(occupied, occupied.dropFirst()) where next.lowerBound < one.upperBound {
        throw failure("two members share bytes", next.lowerBound)
      }
      return members
    }

    /// Where the central directory lies and how many entries it claims, each of which takes at least 46 bytes
    /// of it.
    private func directory(_ bytes: RawSpan) throws -> (range: Range<Int>, count: Int) {
      let end = try endRecord(bytes)
      var count = try number(bytes, end + 10, UInt16.self)
      var size = try number(bytes, end + 12, UInt32.self)
      var start = try number(bytes, end + 16, UInt32.self)
      var limit = end
      if end >= 20, bytes.number(end - 20, as: UInt32.self) == ZipArchive.locator64Signature {
        let record = try number(bytes, end - 12, UInt64.self)
        guard record <= end - 20 - 56, bytes.number(record, as: UInt32.self) == ZipArchive.end64Signature
        else {
          throw failure("its 64-bit end record is not where it should be", end - 12)
        }
        count = try number(bytes, record + 32, UInt64.self)
        size = try number(bytes, record + 40, UInt64.self)
        start = try number(bytes, record + 48, UInt64.self)
        limit = record
      }
      guard start <= limit, size <= limit - start, count <= size / 46 else {
        throw failure("its directory of \(count) members does not fit the file", end)
      }
      return (start..<start + size, count)
    }

    /// The end record: the last one whose comment reaches exactly to the file's end.
    private func endRecord(_ bytes: RawSpan) throws -> Int {
      let last = bytes.byteCount - 22
      for offset in stride(from: last, through: max(0, last - 0xFFFF), by: -1)
      where bytes.number(offset, as: UInt32.self) == ZipArchive.endSignature {
        if bytes.number(offset + 20, as: UInt16.self).map({ Int($0) }) == last - offset { return offset }
      }
      throw failure("it has no end record; it may be cut short", bytes.byteCount)
    }

    private func entry(_ bytes: RawSpan, _ offset: Int, _ end: Int) throws -> (entry: Entry, next: Int) {
      guard end - offset >= 46, bytes.number(offset, as: UInt32.self) == ZipArchive.centralSignature else {
        throw failure("a directory entry must stand here", offset)
      }
      let flags = try number(bytes, offset + 8, UInt16.self)
      let method = try number(bytes, offset + 10, UInt16.self)
      var packed = try number(bytes, offset + 20, UInt32.self)
      var size = try number(bytes, offset + 24, UInt32.self)
      let nameEnd = try offset + 46 + number(bytes, offset + 28, UInt16.self)
      let extraEnd = try nameEnd + number(bytes, offset + 30, UInt16.self)
      let next = try extraEnd + number(bytes, offset + 32, UInt16.self)
      var header = try number(bytes, offset + 42, UInt32.self)
      guard next <= end else { throw failure("a directory entry passes the directory's end", offset) }
      guard method == 0, flags & 1 == 0 else { throw failure("a member is compressed or encrypted", offset) }
      try widen(bytes, nameEnd..<extraEnd, &size, &packed, &header)
      guard let name = bytes.text(offset + 46..<nameEnd) else {
        throw failure("a member's name is not UTF-8", offset + 46)
      }
      guard size == packed else { throw failure("the member \(name) has two sizes", offset) }
      return (Entry(name: name, size: size, header: header), next)
    }

    /// Replaces the numbers that are all ones by those of the 64-bit extra field, which holds them in this
    /// order.
    private func widen(
      _ bytes: RawSpan, _ extra: Range<Int>, _ size: inout Int, _ packed: inout Int, _ header: inout Int
    ) throws {
      var offset = extra.lowerBound
      while extra.upperBound - offset >= 4 {
        let kind = try number(bytes, offset, UInt16.self)
        let end = try offset + 4 + number(bytes, offset + 2, UInt16.self)
        guard end <= extra.upperBound else { throw failure("an extra field passes its entry's end", offset) }
        if kind == 1 {
          var field = offset + 4
          func next(_ value: Int) throws -> Int {
            guard value == 0xFFFF_FFFF else { return value }
            guard field + 8 <= end else { throw failure("a 64-bit extra field is too short", offset) }
            defer { field += 8 }
            return try number(bytes, field, UInt64.self)
          }
          size = try next(size)
          packed = try next(packed)
          header = try next(header)
        }
        offset = end
      }
    }

    /// Where a member's bytes lie: behind its local header, whose name must be the directory's, and before
    /// `end`.
    private func data(_ bytes: RawSpan, _ entry: Entry, end: Int) throws -> Range<Int> {
      let header = entry.header
      guard header <= end - 30, bytes.number(header, as: UInt32.self) == ZipArchive.localSignature else {
        throw failure("the member \(entry.name) does not start where the directory says", header)
      }
      let method = try number(bytes, header + 8, UInt16.self)
      let nameEnd = try header + 30 + number(bytes, header + 26, UInt16.self)
      let start = try nameEnd + number(bytes, header + 28, UInt16.self)
      guard start <= end, entry.size <= end - start else {
        throw failure("the member \(entry.name) passes the end of the archive's data", header)
      }
      guard method == 0, bytes.text(header + 30..<nameEnd) == entry.name else {
        throw failure("the member \(entry.name) contradicts the directory", header)
      }
      return start..<start + entry.size
    }
  }
}
