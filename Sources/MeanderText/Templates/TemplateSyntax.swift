/// What the expressions and statements of a template come to.
indirect enum TemplateExpression: Sendable {
  case literal(TemplateValue)
  case name(String)
  case list([TemplateExpression])
  case dictionary([(TemplateExpression, TemplateExpression)])
  case attribute(TemplateExpression, String)
  case item(TemplateExpression, TemplateExpression)
  case slice(TemplateExpression, TemplateExpression?, TemplateExpression?, TemplateExpression?)
  case call(TemplateExpression, TemplateArguments)
  case filter(TemplateExpression, String, TemplateArguments)
  case test(TemplateExpression, String, [TemplateExpression], isNegated: Bool)
  case not(TemplateExpression)
  case negative(TemplateExpression)
  case and(TemplateExpression, TemplateExpression)
  case or(TemplateExpression, TemplateExpression)
  case binary(String, TemplateExpression, TemplateExpression)
  case conditional(condition: TemplateExpression, then: TemplateExpression, otherwise: TemplateExpression?)
}

struct TemplateArguments: Sendable {
  var values: [TemplateExpression] = []
  var named: [(String, TemplateExpression)] = []
}

indirect enum TemplateStatement: Sendable {
  case text(String)
  case output(TemplateExpression, line: Int)
  case loop(
    targets: [String], over: TemplateExpression, condition: TemplateExpression?, body: [TemplateStatement],
    otherwise: [TemplateStatement], line: Int)
  case choice([(condition: TemplateExpression, body: [TemplateStatement])], otherwise: [TemplateStatement], line: Int)
  case assignment(targets: [String], TemplateExpression, line: Int)
  case attributeAssignment(String, attribute: String, TemplateExpression, line: Int)
  case capture(String, [TemplateStatement])
  case macro(TemplateMacro)
  case group([TemplateStatement])
  case leaveLoop
  case nextRound
}

final class TemplateMacro: Sendable {
  let name: String
  let parameters: [(name: String, fallback: TemplateExpression?)]
  let body: [TemplateStatement]

  init(name: String, parameters: [(name: String, fallback: TemplateExpression?)], body: [TemplateStatement]) {
    (self.name, self.parameters, self.body) = (name, parameters, body)
  }
}
