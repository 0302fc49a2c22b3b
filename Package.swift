// swift-tools-version: 6.2
import PackageDescription

/// Layers, lowest first; a target imports only what stands above it in this list (Docs/Architecture.md).
/// `StructureTests` reads the sources and holds them to it.
let settings: [SwiftSetting] = [
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("MemberImportVisibility"),
]

let argumentParser = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")
let logging = Target.Dependency.product(name: "Logging", package: "swift-log")
let system = Target.Dependency.product(name: "SystemPackage", package: "swift-system")

/// A shipped model: a C target that holds its files as read-only data (`Models/shipped.h`), so that a program links only what it
/// names.
func shippedModel(_ name: String, files: [String]) -> Target {
  .target(
    name: "MeanderModel" + name.prefix(1).uppercased() + name.dropFirst(),
    dependencies: ["CMeanderCatalog"],
    path: "Models/\(name)",
    exclude: files)
}

func tests(_ name: String, _ dependencies: [Target.Dependency], exclude: [String] = []) -> Target {
  .testTarget(
    name: name, dependencies: dependencies + ["MeanderTestSupport"], path: "Tests/\(name)", exclude: exclude,
    swiftSettings: settings)
}

let package = Package(
  name: "Meander",
  products: [
    .library(name: "Meander", targets: ["Meander"]),
    .library(name: "MeanderLongConvolution", targets: ["MeanderLongConvolution"]),
    .library(name: "MeanderText", targets: ["MeanderText"]),
    .library(name: "MeanderTraining", targets: ["MeanderTraining"]),
    .executable(name: "meander", targets: ["MeanderCommand"]),
    .library(name: "MeanderModelAttention", targets: ["MeanderModelAttention"]),
    .library(name: "MeanderModelHyena", targets: ["MeanderModelHyena"]),
    .library(name: "MeanderModelNeedles", targets: ["MeanderModelNeedles"]),
    .library(name: "MeanderModelPasskey", targets: ["MeanderModelPasskey"]),
    .library(name: "MeanderModelReader", targets: ["MeanderModelReader"]),
    .library(name: "MeanderModelStriped", targets: ["MeanderModelStriped"]),
    .library(name: "MeanderModelTiny", targets: ["MeanderModelTiny"]),
  ],
  traits: [
    .trait(name: "FFTW", description: "The command knows long convolutions, and links FFTW for them."),
    .default(enabledTraits: ["FFTW"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
    .package(url: "https://github.com/apple/swift-system", from: "1.8.1"),
  ],
  targets: [
    .target(name: "CMeanderKernels"),
    .target(name: "CMeanderCatalog"),
    .systemLibrary(name: "COpenBLAS", pkgConfig: "openblas", providers: [.apt(["libopenblas-dev"])]),
    .systemLibrary(name: "CFFTW", pkgConfig: "fftw3f", providers: [.apt(["libfftw3-dev"])]),
    .target(name: "MeanderErrors", swiftSettings: settings),
    .target(name: "MeanderKernels", dependencies: ["CMeanderKernels", "MeanderErrors"], swiftSettings: settings),
    .target(name: "MeanderFiles", dependencies: ["CMeanderCatalog", "CMeanderKernels", "MeanderErrors", system], swiftSettings: settings),
    .target(name: "MeanderText", dependencies: ["MeanderErrors", "MeanderFiles"], swiftSettings: settings),
    shippedModel("attention", files: ["README.md", "config.json", "log.jsonl.gz", "model.safetensors", "tokenizer.json"]),
    shippedModel("hyena", files: ["README.md", "config.json", "log.jsonl.gz", "model.safetensors", "tokenizer.json"]),
    shippedModel("needles", files: ["README.md", "config.json", "log.jsonl.gz", "model.safetensors", "tokenizer.json"]),
    shippedModel("passkey", files: ["config.json", "model.safetensors"]),
    shippedModel("reader", files: ["README.md", "config.json", "log.jsonl.gz", "model.safetensors", "tokenizer.json"]),
    shippedModel("striped", files: ["README.md", "config.json", "log-text.jsonl.gz", "log.jsonl.gz", "model.safetensors", "tokenizer.json"]),
    shippedModel("tiny", files: ["README.md", "config.json", "log.jsonl.gz", "model.safetensors"]),
    .target(
      name: "MeanderModels", dependencies: ["CMeanderKernels", "MeanderErrors", "MeanderFiles", "MeanderKernels"], swiftSettings: settings),
    .target(
      name: "Meander",
      dependencies: ["MeanderErrors", "MeanderFiles", "MeanderKernels", "MeanderModels", "MeanderText", logging],
      swiftSettings: settings),
    .target(
      name: "MeanderLongConvolution",
      dependencies: ["CFFTW", "MeanderErrors", "MeanderFiles", "MeanderKernels", "MeanderModels"], swiftSettings: settings),
    .target(name: "MeanderTasks", dependencies: ["MeanderErrors", "MeanderFiles"], swiftSettings: settings),
    .target(
      name: "MeanderTraining",
      dependencies: [
        "MeanderErrors", "MeanderFiles", "MeanderKernels", "MeanderModels", "MeanderTasks", "MeanderText",
      ],
      swiftSettings: settings),
    .executableTarget(
      name: "MeanderCommand",
      dependencies: [
        "Meander", "MeanderErrors", "MeanderEvaluation", "MeanderFiles", "MeanderKernels", "MeanderModelAttention",
        "MeanderModelNeedles", "MeanderModelPasskey", "MeanderModelReader", "MeanderModels", "MeanderTasks", "MeanderText",
        "MeanderTraining", argumentParser, system,
        .target(name: "MeanderLongConvolution", condition: .when(traits: ["FFTW"])),
        .target(name: "MeanderModelHyena", condition: .when(traits: ["FFTW"])),
        .target(name: "MeanderModelStriped", condition: .when(traits: ["FFTW"])),
      ],
      swiftSettings: settings),
    .target(
      name: "MeanderEvaluation",
      dependencies: [
        "Meander", "MeanderErrors", "MeanderFiles", "MeanderKernels", "MeanderModels", "MeanderTasks", "MeanderText",
        "MeanderTraining",
      ],
      swiftSettings: settings),

    tests("MeanderKernelsTests", ["CMeanderKernels", "COpenBLAS", "MeanderKernels"]),
    tests("MeanderFilesTests", ["MeanderFiles"]),
    tests("MeanderTextTests", ["MeanderErrors", "MeanderFiles", "MeanderText"]),
    tests("MeanderModelsTests", ["MeanderErrors", "MeanderFiles", "MeanderKernels", "MeanderModels"]),
    tests("MeanderTasksTests", ["MeanderErrors", "MeanderFiles", "MeanderTasks"]),
    tests(
      "MeanderTrainingTests",
      [
        "MeanderErrors", "MeanderFiles", "MeanderKernels", "MeanderLongConvolution", "MeanderModels", "MeanderTasks", "MeanderText",
        "MeanderTraining",
      ]),
    tests(
      "MeanderLongConvolutionTests",
      ["Meander", "MeanderErrors", "MeanderFiles", "MeanderKernels", "MeanderLongConvolution", "MeanderModels"]),
    tests(
      "MeanderEvaluationTests",
      ["Meander", "MeanderErrors", "MeanderEvaluation", "MeanderFiles", "MeanderModels", "MeanderTasks", "MeanderModelNeedles", "MeanderModelPasskey", "MeanderModelReader"]),
    tests("MeanderCommandTests", ["MeanderCommand", "MeanderErrors", "MeanderFiles", "MeanderTasks"], exclude: ["Help"]),
    tests("StructureTests", []),
    tests(
      "MeanderTests",
      ["Meander", "MeanderFiles", "MeanderModels", "MeanderText", "MeanderModelPasskey", "MeanderModelReader", "MeanderModelTiny"]),
    .target(
      name: "MeanderTestSupport", dependencies: ["MeanderErrors", "MeanderFiles"], path: "Tests/MeanderTestSupport",
      swiftSettings: settings),
  ],
  swiftLanguageModes: [.v6]
)
