import MeanderFiles
import MeanderTasks

extension CapacityMeasurement {
  /// How far the loss may rise beyond the training length of a model that forgets: twofold as published, and by a quarter, which is
  /// where we speak of collapse.
  private static let bounds: [(quantity: String, bound: Double)] = [("forget", 2), ("forget_by_quarter", 1.25)]

  /// Rows of recall by length, a point for each model, and where the plan means to fit them, the three laws of each
  /// quantity.
  package func report(_ outcomes: [JSON?]) -> [(String, JSON)] {
    let models = outcomes.compactMap { $0 }
    var rows: [JSON] = []
    var points: [JSON] = []
    for model in models {
      let floats = model["state_floats"]?.integer ?? 0
      let mixer = model["mixer"]?.string ?? "mamba2"
      let own = plan.mixers.count > 1 ? "\(mixer), " : ""
      let name = "\(own)\(Figure.compact(Double(floats))) floats, seed \(model["seed"]?.integer ?? 0)"
      for row in model["recall_rows"]?.array ?? [] {
        guard let members = row.object?.members else { continue }
        rows.append(JSON(members.map { ($0.key, $0.key == "series" ? .string(name) : $0.value) }))
      }
      let stages = model["stages"]?.array ?? []
      let forgets = Self.bounds.flatMap { quantity, bound -> [(String, JSON)] in
        // Forgetting from some length on means that every longer one forgets as well.
        let kept = stages.lastIndex { ($0["ratio"]?.double ?? .infinity) >= bound }
        let first = kept.map { $0 + 1 } ?? 0
        let forget = stages.indices.contains(first) ? stages[first]["trained"] : nil
        // Shorter lengths than the first were not tried, nor longer ones than the last.
        return [(quantity, forget ?? .null), ("\(quantity)_is_censored", .bool(first == 0 || forget == nil))]
      }
      points.append(
        JSON([
          ("state_floats", JSON(floats)), ("width", model["width"] ?? .null), ("state_size", model["state_size"] ?? .null),
          ("seed", model["seed"] ?? .null), ("recall", model["recall"] ?? .null),
          ("recall_is_censored", model["recall_is_censored"] ?? .null), ("tokens", model["tokens"] ?? .null),
          ("seconds", model["seconds"] ?? .null),
        ] + forgets + comparison(model, mixer, floats)))
    }
    var members: [(String, JSON)] = [
      ("results", .array(rows)), ("points", .array(points)), ("stages", .array(stages(models))),
    ]
    guard plan.mixers.count == 1 else { return members + [("panels", .array(panels(byMixer: points)))] }
    var fits: [JSON] = []
    var panels: [JSON] = []
    for (varied, others) in series(of: points) {
      for (quantity, published) in Self.bounds.map({ ($0.quantity, Self.publishedForget) }) + [("recall", Self.publishedRecall)] {
        let measured = others.compactMap { point -> ScalingLaw.Point? in
          guard point["\(quantity)_is_censored"]?.bool == false, let floats = point["state_floats"]?.double,
            let length = point[quantity]?.double, length > 0
          else { return nil }
          return ScalingLaw.Point(size: floats / 1e6, length: length)
        }
        let laws = plan.fits ? ScalingLaw.allCases.compactMap { $0.fit(measured) } : []
        fits += laws.map { Self.json($0, quantity, varied, measured) }
        if !measured.isEmpty { panels.append(panel(quantity, varied, measured, laws, published)) }
      }
    }
    members.append(("fits", .array(fits)))
    members.append(("panels", .array(panels)))
    return members
  }

  /// Points that differ in N alone, at the first model's width, and where there are other widths, those that differ in width alone,
  /// at the N that they share.
  private func series(of points: [JSON]) -> [(varied: String, points: [JSON])] {
    let first = plan.sizes.first
    let byState = points.filter { $0["width"]?.integer == first?.width }
    guard let shared = plan.sizes.first(where: { $0.width != first?.width })?.state else { return [("N", byState)] }
    return [("N", byState), ("width", points.filter { $0["state_size"]?.integer == shared })]
  }

  /// What tells mixers apart: which it is, and where pairs were asked for, the most of them that came back at once.
  private func comparison(_ model: JSON, _ mixer: String, _ floats: Int) -> [(String, JSON)] {
    var members: [(String, JSON)] = [("mixer", .string(mixer)), ("parameters", model["parameters"] ?? .null)]
    if let rows = model["pair_rows"]?.array {
      let most = rows.compactMap { $0["recalled"]?.double }.max() ?? 0
      members += [("pair_rows", .array(rows)), ("pairs", JSON(most)), ("pairs_a_thousand_floats", JSON(1000 * most / Double(floats)))]
    }
    return members
  }

  private func title(_ quantity: String) -> String {
    switch quantity {
    case "forget": "training length from which it forgets"
    case "forget_by_quarter": "training length from which the loss rises by less than a quarter"
    default: "longest length recalled"
    }
  }

  /// What each mixer forgets, recalls and pairs at each size.
  private func panels(byMixer points: [JSON]) -> [JSON] {
    let quantities = [
      ("forget", title("forget"), "length, bytes"), ("recall", "longest length recalled", "length, bytes"),
      ("pairs", "pairs recalled at once", "pairs"),
    ]
    return quantities.compactMap { quantity, title, vertical in
      let series = plan.mixers.compactMap { mixer -> (String, [JSON])? in
        let own = points.filter { $0["mixer"]?.string == mixer }.compactMap { point -> (Double, Double)? in
          guard let floats = point["state_floats"]?.double, let value = point[quantity]?.double, value > 0 else { return nil }
          return (floats / 1e6, value)
        }
        return own.isEmpty ? nil : (mixer, own.sorted { $0 < $1 }.map { ReportPanel.point($0.0, $0.1) })
      }
      if series.isEmpty { return nil }
      return ReportPanel(
        title: title, horizontal: "state, millions of floats", vertical: vertical, isLogarithmic: (false, true), series: series
      ).json
    }
  }

  /// The published fits (arXiv 2410.07145), in tokens; state in millions of floats.
  private static func publishedForget(_ size: Double) -> Double {
    1000 * ScalingLaw.linear.length(at: size, [5.172, -4.469])
  }
  private static func publishedRecall(_ size: Double) -> Double {
    1000 * ScalingLaw.exponential.length(at: size, [4.756, 0.3111540, -0.742])
  }

  private func stages(_ models: [JSON]) -> [JSON] {
    models.flatMap { model in
      (model["stages"]?.array ?? []).map { stage in
        JSON(
          [("state_floats", model["state_floats"] ?? .null), ("seed", model["seed"] ?? .null)]
            + ["trained", "inside", "outside", "ratio"].map { ($0, stage[$0] ?? .null) })
      }
    }
  }

  private static func json(_ fit: ScalingLaw.Fit, _ quantity: String, _ varied: String, _ points: [ScalingLaw.Point]) -> JSON {
    JSON([
      ("quantity", .string(quantity)), ("varied", .string(varied)), ("law", .string(fit.law.rawValue)),
      ("constants", .array(fit.constants.map { JSON($0) })),
      ("r_squared", JSON(fit.explained)), ("leave_one_size_out", fit.law.leaveOneOut(points).map { JSON($0) } ?? .null),
      ("points", JSON(points.count)),
    ])
  }

  /// Points, laws with their bands, and the published law beside them, where it says more than nothing.
  private func panel(
    _ quantity: String, _ varied: String, _ points: [ScalingLaw.Point], _ laws: [ScalingLaw.Fit], _ published: (Double) -> Double
  ) -> JSON {
    let sizes = points.map(\.size)
    let low = (sizes.min() ?? 0.01) / 1.2
    let high = (sizes.max() ?? 1) * 1.2
    let grid = (0...40).map { low + (high - low) * Double($0) / 40 }
    var series: [(String, [JSON])] = [
      ("measured", points.sorted { $0.size < $1.size }.map { ReportPanel.point($0.size, $0.length) })
    ]
    for fit in laws {
      series.append(
        (
          fit.law.rawValue,
          grid.filter { fit.length(at: $0) > 1 }.map { size in
            let band = fit.law.band(points, at: size)
            return ReportPanel.point(
              size, fit.length(at: size), low: band.map { max(1, $0.lowerBound) },
              high: band.map { max(1, $0.upperBound) })
          }
        ))
    }
    let theirs = grid.filter { published($0) > 1 }.map { ReportPanel.point($0, published($0)) }
    if !theirs.isEmpty { series.append(("published, tokens", theirs)) }
    return ReportPanel(
      title: title(quantity) + ", by \(varied)",
      horizontal: "state, millions of floats",
      vertical: "length, bytes", isLogarithmic: (false, true), series: series
    ).json
  }
}
