import CMachine

// machine [THREADS]: what this machine can do at best, as JSON: the yardstick of every figure here.
let threads = CommandLine.arguments.dropFirst().first.flatMap { Int32($0) } ?? 2
let peak = machine_peak(threads, 5) / 1e9
let read = machine_read(threads, 256 << 20, 5) / 1e9
print("{\"threads\": \(threads), \"peak_gflops\": \(peak), \"read_gigabytes_per_second\": \(read)}")
