import CMeanderCatalog

/// The files of the models that are linked into this program, by model and file name.
package enum ShippedFiles {
  /// The names of the models that are linked in, sorted.
  package static var models: [String] { Set(all.map(\.model)).sorted() }

  /// The bytes of file `name` of shipped model `model`, in place: nothing is copied.
  package static func bytes(model: String, name: String) -> UnsafeRawBufferPointer? {
    all.first { $0.model == model && $0.name == name }?.bytes
  }

  /// The file names of shipped model `model`, sorted; empty where it is not linked in.
  package static func names(model: String) -> [String] {
    all.filter { $0.model == model }.map(\.name).sorted()
  }

  private static var all: [(model: String, name: String, bytes: UnsafeRawBufferPointer)] {
    (0..<meander_catalog_count()).compactMap { index in
      guard let file = meander_catalog_at(index)?.pointee else { return nil }
      // Safe: the catalog's records point to constants of this program, which live as long as it does.
      return (
        String(cString: file.model), String(cString: file.name), .init(start: file.bytes, count: file.count)
      )
    }
  }
}
