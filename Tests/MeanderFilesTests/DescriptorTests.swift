import Glibc
import MeanderErrors
import MeanderFiles
import MeanderTestSupport
import Testing

@Suite struct DescriptorTests {
  @Test func aFileIsReadInPiecesAndFromAnyByte() throws {
    let folder = TemporaryFolder()
    try AtomicFile.write(folder("input"), bytes: Array("0123456789".utf8))
    let input = try InputReader(folder("input"))
    #expect(input.isSeekable && input.size == 10 && input.position == 0)
    var buffer: [UInt8] = []
    #expect(try input.read(into: &buffer, upTo: 4) == 4)
    #expect(buffer == Array("0123".utf8))
    try input.seek(to: 8)
    #expect(try input.read(into: &buffer, upTo: 4) == 2)
    #expect(buffer.prefix(2) == ArraySlice("89".utf8))
    #expect(try input.read(into: &buffer, upTo: 4) == 0)
    #expect(input.position == 10)
    let same = try InputReader(folder("input"))
    #expect(same.inode == input.inode && same.device == input.device)
    #expect(throws: MeanderError.self) { try InputReader(folder.path) }
    #expect(throws: MeanderError.self) { try InputReader(folder("none")) }
  }

  @Test func aSilentPipeRunsIntoTheTimeLimit() throws {
    let folder = TemporaryFolder()
    #expect(mkfifo(folder("pipe"), 0o600) == 0)
    // Open for both, so that opening waits for nobody.
    let writer = open(folder("pipe"), O_RDWR)
    defer { close(writer) }
    let input = try InputReader(folder("pipe"))
    #expect(!input.isSeekable && input.size == nil && input.position == nil)
    #expect(throws: MeanderError.self) { try input.seek(to: 0) }
    var buffer: [UInt8] = []
    #expect(try input.read(into: &buffer, upTo: 16, timeout: 1) == nil)
    #expect(write(writer, "ab", 2) == 2)
    #expect(try input.read(into: &buffer, upTo: 16, timeout: 1) == 2)
    #expect(buffer.prefix(2) == [97, 98])
  }

  @Test func outputGoesOnAtTheEndAndIsCutBack() throws {
    let folder = TemporaryFolder()
    do {
      let output = try OutputFile(folder("out"))
      try output.append(Array("line 1\nline 2\nli".utf8))
      #expect(output.position == 16)
      try output.synchronize()
    }
    let output = try OutputFile(folder("out"))
    #expect(output.position == 16)
    try output.truncate(to: 7)
    try output.append(Array("next\n".utf8))
    try output.append([UInt8](repeating: 46, count: 100_000))
    try output.flush()
    #expect(output.position == 100_012)
    let bytes = try FileBytes.mapping(folder("out"))
    #expect(bytes.count == 100_012 && bytes.copy(0..<12) == Array("line 1\nnext\n".utf8))
    let error = #expect(throws: MeanderError.self) { try output.truncate(to: 200_000) }
    #expect(error?.code == .mismatch)
  }

  @Test func aFullDeviceIsAnError() throws {
    let output = try OutputFile("/dev/full")
    try output.append([1])
    let error = #expect(throws: MeanderError.self) { try output.flush() }
    #expect(error?.code == .inputOutput && !(error?.cause is ClosedPipe))
  }

  /// Signals bind a whole process, so these have one of their own.
  @Test func signalsAreCountedAndWakeAReader() async {
    await #expect(processExitsWith: .success) {
      try Signals.install()
      let folder = TemporaryFolder()
      try #require(mkfifo(folder("pipe"), 0o600) == 0)
      let keptOpen = open(folder("pipe"), O_RDWR)
      let input = try InputReader(folder("pipe"))
      var buffer: [UInt8] = []
      for signal in [SIGUSR1, SIGTERM] {
        #expect(write(keptOpen, "a", 1) == 1)
        raise(signal)
        // The signal is told first, although there is something to read.
        #expect(try input.read(into: &buffer, upTo: 1, timeout: 1_000) == nil)
        #expect(try input.read(into: &buffer, upTo: 1, timeout: 1_000) == 1)
      }
      #expect(Signals.reportCount == 1 && Signals.interruptCount == 1)
      #expect(try input.read(into: &buffer, upTo: 1, timeout: 1) == nil)
      close(keptOpen)
    }
  }

  @Test func theSecondInterruptEndsTheProcess() async {
    await #expect(processExitsWith: .exitCode(130)) {
      try Signals.install()
      raise(SIGINT)
      raise(SIGINT)
    }
  }

  @Test func aClosedPipeIsToldApart() async {
    await #expect(processExitsWith: .success) {
      try Signals.install()
      let folder = TemporaryFolder()
      try #require(mkfifo(folder("pipe"), 0o600) == 0)
      let reader = open(folder("pipe"), O_RDWR)
      let output = try OutputFile(folder("pipe"))
      close(reader)
      try output.append([1])
      let error = #expect(throws: MeanderError.self) { try output.flush() }
      #expect(error?.cause is ClosedPipe)
      #expect(Signals.closedPipeCount == 1)
    }
  }

  @Test func quotasOfControlGroupsAreFound() {
    func quota(_ groups: String, _ files: [String: String]) -> Double? {
      ControlGroup.quota(groups: groups) { files[$0] }
    }
    #expect(quota("0::/a/b\n", ["/sys/fs/cgroup/a/cpu.max": "150000 100000\n"]) == 1.5)
    #expect(
      quota("0::/\n", ["/sys/fs/cgroup/cpu.max": "max 100000\n", "/sys/fs/cgroup/a/cpu.max": "1 100000"])
        == nil)
    #expect(
      quota(
        "4:cpu,cpuacct:/x\n5:memory:/y\n",
        [
          "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "400000\n",
          "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
          "/sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_quota_us": "-1\n",
          "/sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_period_us": "100000\n",
        ]) == 4)
    #expect(quota("", [:]) == nil)
    #expect(Processors.available >= 1)
  }

  @Test func memoryIsMeasured() {
    #expect(ProcessMemory.resident > 1 << 20)
    // Read first: other tests allocate meanwhile.
    let resident = ProcessMemory.resident
    #expect(ProcessMemory.peak >= resident)
  }
}
