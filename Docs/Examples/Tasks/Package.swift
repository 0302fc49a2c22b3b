// swift-tools-version: 6.2
import PackageDescription

let package = Package(
  name: "Tasks",
  dependencies: [.package(name: "Meander", path: "../../..")],
  targets: [
    .executableTarget(
      name: "tasks",
      dependencies: [
        .product(name: "Meander", package: "Meander"),
        .product(name: "MeanderModelPasskey", package: "Meander"),
      ])
  ],
  swiftLanguageModes: [.v6]
)
