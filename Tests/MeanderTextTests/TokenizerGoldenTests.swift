import MeanderText
import Testing

@Suite("Tokenizers equal their references")
struct TokenizerGoldenTests {
  @Test("ids of every string", arguments: TokenizerGoldens.names)
  func ids(_ name: String) throws {
    let goldens = try TokenizerGoldens(name)
    let tokenizer = try TokenizerGoldens.tokenizer(name)
    #expect(goldens.rows.count >= 397)
    for row in goldens.rows {
      #expect(tokenizer.encode(row.text) == row.ids, "\(name): \(row.text.debugDescription)")
      if let ids = row.idsWithSpecial {
        #expect(tokenizer.encode(row.text, special: true) == ids, "\(name), special: \(row.text.debugDescription)")
      }
    }
    for row in goldens.byteRows {
      #expect(tokenizer.encode(row.bytes) == row.ids, "\(name): \(row.bytes)")
    }
  }

  @Test("text of every id list", arguments: TokenizerGoldens.names)
  func texts(_ name: String) throws {
    let goldens = try TokenizerGoldens(name)
    let tokenizer = try TokenizerGoldens.tokenizer(name)
    for row in goldens.rows {
      if let decoded = row.decoded {
        #expect(sameText(tokenizer.decode(row.ids), decoded), "\(name): \(row.text.debugDescription)")
      }
      if let decoded = row.decodedSkippingSpecial {
        #expect(
          sameText(tokenizer.decode(row.ids, skippingSpecial: true), decoded), "\(name): \(row.text.debugDescription)")
      }
    }
    for (ids, decoded) in goldens.decodings {
      #expect(sameText(tokenizer.decode(ids), decoded), "\(name): \(ids)")
    }
    for (ids, decoded) in goldens.prefixes {
      for (count, prefix) in decoded.enumerated() {
        #expect(sameText(tokenizer.decode(ids.prefix(count + 1)), prefix), "\(name): \(ids.prefix(count + 1))")
      }
    }
  }
}
