import MeanderErrors
import MeanderFiles
import Testing

private func store(_ type: ElementType, _ bytes: [UInt8]) throws -> TensorStore {
  var writer = SafeTensorsWriter()
  try writer.add("values", type, [bytes.count / type.byteCount], bytes: bytes)
  return try TensorStore.open(safetensors: FileBytes(writer.bytes(), path: "values"))
}

@Suite struct WideningTests {
  @Test func everyHalfIsExact() throws {
    let values = try store(.f16, (0...UInt16.max).flatMap { little($0) }).floats("values")
    for (pattern, value) in zip(0...UInt16.max, values) {
      let expected = half(pattern)
      #expect(value.bitPattern == expected.bitPattern || value.isNaN && expected.isNaN, "half \(pattern)")
    }
  }

  /// The value of a half by the definition of IEEE 754: sign, five bits of exponent, ten of fraction.
  private func half(_ pattern: UInt16) -> Float {
    let sign: Float = pattern >> 15 == 1 ? -1 : 1
    let exponent = Int(pattern >> 10 & 31)
    let fraction = Float(pattern & 1023) / 1024
    switch exponent {
    case 0: return sign * fraction * 0x1p-14
    case 31: return fraction == 0 ? sign * .infinity : .nan
    default: return sign * (1 + fraction) * Float(sign: .plus, exponent: exponent - 15, significand: 1)
    }
  }

  @Test func theOtherTypesAreExact() throws {
    #expect(
      try store(.bf16, [0x80, 0x3F, 0x80, 0xFF, 1, 0]).floats("values") == [
        1, -.infinity, Float(bitPattern: 1 << 16),
      ])
    #expect(
      try store(.f64, little(0.1.bitPattern) + little((-1e300).bitPattern)).floats("values") == [
        0.1, -.infinity,
      ])
    #expect(try store(.f32, little(Float(0.1).bitPattern)).floats("values") == [0.1])
    #expect(try store(.i8, [0xFF, 1]).integers("values") == [-1, 1])
    #expect(try store(.u16, [0xFF, 0xFF]).integers("values") == [65535])
    #expect(try store(.i32, [0, 0, 0, 0x80]).integers("values") == [-2_147_483_648])
    #expect(try store(.bool, [0, 1]).integers("values") == [0, 1])
    #expect(throws: MeanderError.self) {
      try store(.u64, [UInt8](repeating: 255, count: 8)).integers("values")
    }
  }
}
