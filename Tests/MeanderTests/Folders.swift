import Glibc
import Meander
import MeanderFiles

/// A folder for the files of one test: the same in every run, and another in every checkout.
func temporaryFolder(_ name: String) -> String {
  let checkout = #filePath.utf8.reduce(0xCBF2_9CE4_8422_2325 as UInt64) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
  let root = (ProcessEnvironment["TMPDIR"] ?? "/tmp") + "/meander-tests-\(getuid())-\(String(checkout, radix: 36))"
  let folder = root + "/" + name
  for path in [root, folder] where mkdir(path, 0o700) != 0 && errno != EEXIST {
    preconditionFailure("the folder \(path) cannot be made: error \(errno)")
  }
  return folder
}

func writeFile(_ path: String, _ bytes: [UInt8]) throws { try AtomicFile.write(path, bytes: bytes) }

/// The permission bits of a file.
func fileMode(_ path: String) -> UInt32? {
  var status = stat()
  return stat(path, &status) == 0 ? status.st_mode & 0o777 : nil
}

extension Snapshot {
  /// The same snapshot with the bytes of one region changed.
  func replacing(region name: String, _ change: (inout [UInt8]) -> Void) throws -> Snapshot {
    let store = try TensorStore.open(safetensors: FileBytes(bytes(), path: "snapshot"))
    var writer = SafeTensorsWriter()
    writer.metadata = store.metadata
    for entry in store.entries.values.sorted(by: { $0.name < $1.name }) {
      var bytes = try store.bytes(entry.name)
      if entry.name == "state." + name { change(&bytes) }
      try writer.add(entry.name, entry.type, entry.shape, bytes: bytes)
    }
    return try Snapshot(bytes: writer.bytes())
  }
}
