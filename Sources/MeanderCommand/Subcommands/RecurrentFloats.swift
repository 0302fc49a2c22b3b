import Meander
import MeanderModels

extension Model {
  /// The floats of recurrent state as the capacity fits count them; none for a state of another kind than Mamba's.
  var recurrentFloats: Int {
    let layout = language.layout
    return layout.regions.contains { $0.name.hasSuffix(".ssm") || $0.name.hasSuffix(".conv") } ? layout.recurrentFloats : 0
  }
}
