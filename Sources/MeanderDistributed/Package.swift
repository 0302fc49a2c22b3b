// swift-tools-version: 6.2
import PackageDescription

/// Training over several machines: a package of its own, so that nobody else needs MPI. Docs/Training.md tells how it is run.
let package = Package(
  name: "MeanderDistributed",
  products: [.executable(name: "meander-mpi", targets: ["MeanderMPI"])],
  dependencies: [
    .package(name: "Meander", path: "../.."),
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
  ],
  targets: [
    .systemLibrary(name: "COpenMPI", pkgConfig: "ompi-c", providers: [.apt(["libopenmpi-dev"])]),
    .target(name: "CMeanderMPI", dependencies: ["COpenMPI"]),
    .executableTarget(
      name: "MeanderMPI",
      dependencies: [
        "CMeanderMPI", .product(name: "MeanderTraining", package: "Meander"),
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ]),
  ],
  swiftLanguageModes: [.v6]
)
