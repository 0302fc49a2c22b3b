/// A sliding window of w tokens over the recurrent state (Stuffed Mamba): what is older is not read. Each layer has a
/// window of its own, so that through L layers a token still reaches about L·w tokens back.
struct Window: MitigationMethod {
  static let name = "window"

  /// w
  var length: Int
  var form: Mitigation.WindowForm
  /// Over how many tokens `staggered` goes over from one state to the next.
  var fade: Int
  var grid: Int

  init(length: Int, form: Mitigation.WindowForm, fade: Int?, grid: Int?) {
    (self.length, self.form) = (length, form)
    self.grid = grid ?? StaggeredSwap.grid(dividing: length)
    self.fade = form == .staggered ? fade ?? StaggeredSwap.fade(of: length, grid: self.grid) : 0
  }

  init(_ settings: inout MitigationSettings) throws {
    let length = try settings.tokens("length") ?? 8192
    let form: Mitigation.WindowForm = try settings.word("form") ?? .staggered
    let grid = try settings.tokens("grid")
    self.init(length: length, form: form, fade: form == .staggered ? try settings.tokens("fade") : nil, grid: grid)
  }

  /// Bytes of all states that a window may keep.
  private static let largestState = 0x1p37

  var settings: [(key: String, value: String)] {
    [("length", length.description), ("form", form.rawValue)] + (form == .staggered ? [("fade", fade.description)] : [])
      + [("grid", grid.description)]
  }

  func apply(to plan: inout MitigationPlan) throws {
    try plan.hold(grid: grid, [("length", length), ("fade", fade)])
    guard length > 0, fade < length else { throw plan.refusal("length must be more than 0 and more than fade") }
    let layers = form == .staggered ? try plan.exchangeableLayers() : try plan.recurrentLayers(betweenTokens: true)
    if form != .staggered {
      let floats = layers.reduce(0.0) { $0 + plan.shape($1).reduce(1.0) { $0 * Double($1) } }
      let bytes = 4 * floats * Double(length / grid + 2)
      guard bytes <= Self.largestState else {
        throw plan.refusal(
          "it would keep \(length / grid) states, \(Int64(bytes)) bytes", remedy: "Take form=staggered, or a coarser grid.")
      }
    }
    switch form {
    case .staggered:
      try plan.addShadows(layers)
      plan.add(StaggeredSwap(layers: layers, grid: grid, period: length, kept: length, fade: fade))
    case .subtractive:
      plan.add(try SubtractiveWindow(layers: layers, grid: grid, cells: length / grid, in: &plan))
    case .twoStack:
      plan.add(try TwoStackWindow(layers: layers, grid: grid, cells: length / grid, in: &plan))
    }
  }
}

extension Mitigation {
  /// How a window is computed.
  public enum WindowForm: String, CaseIterable, Sendable {
    /// Two states begun w tokens apart, cross-faded: a window of w to 2w tokens for the memory of one more state.
    case staggered
    /// The state minus what is left of the state w tokens ago: w/c + 1 more states, an error that grows with the state.
    case subtractive
    /// Compositions of the cells inside the window, without subtraction: w/c + 2 more states, and nothing ever grows.
    case twoStack = "two-stack"
  }

  /// A sliding window over the recurrent state.
  ///
  /// - Parameters:
  ///   - length: w in tokens, a multiple of the grid.
  ///   - fade: tokens over which `staggered` goes over from one state to the next; by default a sixteenth of w.
  ///   - grid: the stream's positions at which it acts, a power of two from 16 to 512; by default 512, or less for a window
  ///     that would have fewer than eight cells.
  public static func window(
    _ length: Int, form: WindowForm = .staggered, fade: Int? = nil, grid: Int? = nil
  ) -> Mitigation {
    Mitigation(Window(length: length, form: form, fade: fade, grid: grid))
  }
}
