import MeanderFiles
import Testing

@Test func aModelThatIsNotLinkedHasNoFiles() {
  #expect(ShippedFiles.bytes(model: "no-such-model", name: "config.json") == nil)
}
