// swift-tools-version: 6.2
import PackageDescription

/// What is timed, apart from the package that users depend on: nothing here enters their graph.
let package = Package(
  name: "MeanderBenchmarks",
  dependencies: [.package(name: "Meander", path: "..")],
  targets: [
    .target(name: "CMachine"),
    .executableTarget(
      name: "convolutions", dependencies: ["CMachine", .product(name: "MeanderLongConvolution", package: "Meander")]),
    .executableTarget(name: "machine", dependencies: ["CMachine"]),
    .executableTarget(name: "samplers", dependencies: [.product(name: "MeanderText", package: "Meander")]),
  ],
  swiftLanguageModes: [.v6]
)
