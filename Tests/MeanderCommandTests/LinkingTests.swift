import Testing

/// What the program is linked with decides its licence and where it runs (NOTICE, README).
@Suite struct LinkingTests {
  @Test func theCommandLinksNeitherFFTWNorOpenBLAS() throws {
    // The loader then names the libraries that it would load, and ends.
    let loaded = try Command.run([], in: Scratch(), environment: ["LD_TRACE_LOADED_OBJECTS": "1"]).lines
    #expect(loaded.contains { $0.contains("libc.so") })
    for library in ["fftw", "openblas", "libFoundation.so", "libFoundationInternationalization"] {
      #expect(!loaded.contains { $0.contains(library) }, "\(library)")
    }
  }
}
