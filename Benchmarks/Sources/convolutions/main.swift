import CMachine
import Glibc
import MeanderLongConvolution

// convolutions: seconds for long causal convolutions, from and to raw files of float32, rows of channels.
//
//     convolutions read SIGNAL FILTER CHANNELS THREADS OUTPUT       all rows at once, the second time over
//     convolutions decode SIGNAL FILTER CHANNELS THREADS OUTPUT     row by row, and then each output directly

func numbers(_ path: String) -> [Float] {
  guard let file = fopen(path, "rb") else { fatalError("\(path) cannot be opened") }
  defer { fclose(file) }
  fseek(file, 0, SEEK_END)
  let count = ftell(file) / 4
  rewind(file)
  return [Float](unsafeUninitializedCapacity: count) { buffer, filled in filled = fread(buffer.baseAddress, 4, count, file) }
}

func write(_ values: [Float], to path: String) {
  guard let file = fopen(path, "wb") else { fatalError("\(path) cannot be written") }
  defer { fclose(file) }
  _ = values.withUnsafeBufferPointer { fwrite($0.baseAddress, 4, $0.count, file) }
}

func seconds(_ body: () -> Void) -> Double {
  let start = ContinuousClock.now
  body()
  let passed = (ContinuousClock.now - start).components
  return Double(passed.seconds) + Double(passed.attoseconds) * 1e-18
}

let arguments = CommandLine.arguments
guard arguments.count == 7, let channels = Int(arguments[4]), let threads = Int(arguments[5]) else {
  fatalError("convolutions read|decode SIGNAL FILTER CHANNELS THREADS OUTPUT")
}
let (signal, filter) = (numbers(arguments[2]), numbers(arguments[3]))
let convolution = try StreamingConvolution(filter, channels: channels, threads: threads)
var output: [Float] = []
let first = seconds { output = convolution.read(signal) }
convolution.reset()
if arguments[1] == "read" {
  let second = seconds { output = convolution.read(signal) }
  print("{\"first_seconds\": \(first), \"seconds\": \(second), \"state_bytes\": \(convolution.stateByteCount)}")
} else {
  let rows = signal.count / channels
  output = []
  let relaxed = seconds {
    for row in 0..<rows { output += convolution.read(Array(signal[row * channels..<(row + 1) * channels])) }
  }
  var direct = [Float](repeating: 0, count: signal.count)
  let plain = seconds {
    for row in 0..<rows { machine_direct_convolution(signal, filter, filter.count / channels, channels, row, &direct[row * channels]) }
  }
  var (difference, size) = (0.0, 0.0)
  for (a, b) in zip(output, direct) {
    difference += Double(a - b) * Double(a - b)
    size += Double(b) * Double(b)
  }
  print("{\"relaxed_seconds\": \(relaxed), \"direct_seconds\": \(plain), \"difference\": \((difference / size).squareRoot())}")
}
write(output, to: arguments[6])
