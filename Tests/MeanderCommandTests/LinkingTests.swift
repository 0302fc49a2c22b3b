import Testing

/// What the program is linked with decides its licence and where it runs (NOTICE, README).
@Suite struct LinkingTests {
  /// FFTW where the package was built with its trait, and nowhere else; OpenBLAS never.
  @Test func theCommandLinksWhatItsTraitsSay() throws {
    // The loader then names the libraries that it would load, and ends.
    let loaded = try Command.run([], in: Scratch(), environment: ["LD_TRACE_LOADED_OBJECTS": "1"]).lines
    #expect(loaded.contains { $0.contains("libc.so") })
    #if FFTW
    #expect(loaded.contains { $0.contains("libfftw3f") })
    #else
    #expect(!loaded.contains { $0.contains("fftw") })
    #endif
    for library in ["openblas", "libFoundation.so", "libFoundationInternationalization"] {
      #expect(!loaded.contains { $0.contains(library) }, "\(library)")
    }
  }
}
