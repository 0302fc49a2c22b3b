import Glibc
import MeanderErrors
import SystemPackage

/// The last bytes of a stream on disk, to be read again: a file of bounded size that has no name, so that it goes with its owner.
package final class Spool: Sendable {
  /// How many bytes are kept.
  package let limit: Int64
  private let file: FileDescriptor

  /// - Parameter folder: where; `$TMPDIR`, else /var/tmp, where it is nil.
  /// - Throws: `.badRequest` for a limit below one byte, `.inputOutput` where no file can be made.
  package init(limit: Int64, folder: String? = nil) throws {
    guard limit > 0 else { throw MeanderError(.badRequest, "a spool of \(limit) bytes holds nothing", at: "spool") }
    self.limit = limit
    let folder = folder ?? ProcessEnvironment["TMPDIR"] ?? "/var/tmp"
    var number = UInt64(getpid())
    for _ in 0..<100 {
      number = number &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      let path = "\(folder)/meander-spool-\(String(number, radix: 36))"
      do {
        file = try FileDescriptor.open(
          path, .readWrite, options: [.create, .exclusiveCreate, .closeOnExec], permissions: FilePermissions(rawValue: 0o600))
      } catch Errno.fileExists {
        continue
      } catch {
        throw MeanderError(
          .inputOutput, "no spool can be made there", at: folder, remedy: "Set TMPDIR to a folder with room.", cause: error)
      }
      unlink(path)
      return
    }
    throw MeanderError(.inputOutput, "no spool can be made there", at: folder)
  }

  deinit { try? file.close() }

  /// Writes the bytes that follow `position` of the stream. What lies more than `limit` before their end is lost.
  package func append(_ bytes: [UInt8], at position: Int64) throws {
    // Of more than the limit, the last are kept.
    var rest = bytes.suffix(Int(clamping: limit))
    var place = position + Int64(bytes.count - rest.count)
    do {
      while !rest.isEmpty {
        let start = place % limit
        let part = rest.prefix(Int(min(Int64(rest.count), limit - start)))
        _ = try file.writeAll(toAbsoluteOffset: start, Array(part))
        rest = rest.dropFirst(part.count)
        place += Int64(part.count)
      }
    } catch {
      throw MeanderError(
        .inputOutput, "the spool cannot be written", at: "byte \(place)", remedy: "Give it fewer bytes, or set TMPDIR.", cause: error)
    }
  }

  /// The bytes of a range of the stream, whose end was at `position`; nil where they are kept no longer.
  package func read(_ range: Range<Int64>, before position: Int64) throws -> [UInt8]? {
    guard range.lowerBound >= max(0, position - limit), range.upperBound <= position else { return nil }
    var (result, place) = ([UInt8](), range.lowerBound)
    while place < range.upperBound {
      let start = place % limit
      let count = Int(min(range.upperBound - place, limit - start))
      result += try file.bytes(start, count, "the spool")
      place += Int64(count)
    }
    return result
  }
}

extension FileDescriptor {
  /// `count` bytes at an offset, which must be there.
  func bytes(_ offset: Int64, _ count: Int, _ name: String) throws -> [UInt8] {
    var result = [UInt8](repeating: 0, count: count)
    var done = 0
    while done < count {
      let came: Int
      do {
        // Safe: as many bytes are stored as are left of the array.
        came = try result.withUnsafeMutableBytes {
          try read(fromAbsoluteOffset: offset + Int64(done), into: UnsafeMutableRawBufferPointer(rebasing: $0[done...]))
        }
      } catch {
        throw MeanderError(.inputOutput, "cannot be read again at byte \(offset)", at: name, cause: error)
      }
      guard came > 0 else { throw MeanderError(.inputOutput, "ends before byte \(offset + Int64(count))", at: name) }
      done += came
    }
    return result
  }
}
