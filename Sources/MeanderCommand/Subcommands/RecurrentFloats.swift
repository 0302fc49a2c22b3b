import Meander
import MeanderModels

extension Model {
  /// The floats of recurrent state as the capacity fits count them: the mixers' states, and K - 1 taps of
  /// each channel of a convolution.
  var recurrentFloats: Int {
    language.layout.regions.reduce(0) { sum, region in
      if region.name.hasSuffix(".ssm") { return sum + region.count }
      if region.name.hasSuffix(".conv"), let width = region.shape.first {
        return sum + region.count / width * (width - 1)
      }
      return sum
    }
  }
}
