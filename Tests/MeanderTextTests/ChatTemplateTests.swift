import MeanderErrors
import MeanderFiles
import MeanderTestSupport
import MeanderText
import Testing

@Suite struct ChatTemplateTests {
  private func render(_ source: String, _ variables: String = "{}") throws -> String {
    try ChatTemplate(source).render(JSON.parse(FileBytes(Array(variables.utf8), path: "variables")), time: 1_722_000_000)
  }

  /// Each against what Jinja 3.1 makes of it, with `trim_blocks` and `lstrip_blocks`.
  @Test(arguments: [
    ("{{ 'a' ~ 1 ~ true }}|{{ none }}|{{ missing }}|", "a1True|None||"),
    ("{{ 7 // 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 7 / 2 }} {{ 2 + 3 * 4 }} {{ 1.5 + 1 }}", "3 -4 2 3.5 14 2.5"),
    ("{{ 'x' if 1 > 2 else 'y' }}{{ 'z' if false }}", "y"),
    ("{{ not 1 == 2 }} {{ 1 in [1, 2] }} {{ 'b' not in 'abc' }} {{ 'k' in {'k': 1} }}", "True True False True"),
    ("a\n  {% if true %}\n  b\n  {% endif %}\nc\n", "a\n  b\nc"),
    ("a\n  {%- if true -%}\n  b\n  {%- endif -%}\nc", "abc"),
    ("a {# said\n by nobody #}\nb{{ 'c' }}\nd", "a bc\nd"),
    ("{% for i in range(3) %}{{ loop.index }}{{ ',' if not loop.last }}{% endfor %}", "1,2,3"),
    ("{% for k, v in {'a': 1, 'b': 2}.items() %}{{ k }}={{ v }};{% endfor %}", "a=1;b=2;"),
    ("{% for i in [1, 2, 3, 4] if i is even %}{{ i }}{{ loop.length }}{% else %}none{% endfor %}", "2242"),
    ("{% for i in [] %}{{ i }}{% else %}none{% endfor %}", "none"),
    ("{% for i in range(9) %}{% if i == 2 %}{% continue %}{% endif %}{% if i > 3 %}{% break %}{% endif %}{{ i }}{% endfor %}", "013"),
    ("{% set x = 1 %}{% for i in [1] %}{% set x = 2 %}{{ x }}{% endfor %}{{ x }}", "21"),
    ("{% set n = namespace(x=1) %}{% for i in [1] %}{% set n.x = 2 %}{% endfor %}{{ n.x }}", "2"),
    ("{% set a, b = [1, 2] %}{{ b }}{% set c %}<{{ a }}>{% endset %}{{ c }}", "2<1>"),
    ("{% macro f(x, y='!') %}{{ x }}{{ y }}{% endmacro %}{{ f('a') }}{{ f('b', y='?') }}", "a!b?"),
    ("{{ ' a b '.strip().upper() }}|{{ 'a,b,c'.split(',')[-1] }}|{{ 'abc'[1:] }}|{{ 'abc'[::-1] }}", "A B|c|bc|cba"),
    ("{{ 'abc'.startswith('ab') }}{{ 'xxaxx'.strip('x') }}{{ 'aXbX'.replace('X', '-') }}", "Trueaa-b-"),
    ("{{ [1, 'a', none, true, {'k': 'é\"'}] | tojson }}", #"[1, "a", null, true, {"k": "é\""}]"#),
    ("{{ {'a': [1], 'b': {}} | tojson(indent=2) }}", "{\n  \"a\": [\n    1\n  ],\n  \"b\": {}\n}"),
    ("{{ x | default('d') }}{{ '' | default('e', true) }}{{ [3, 4] | join('+') }}{{ 'AB' | lower | length }}", "de3+42"),
    ("{{ [{'a': 1}, {'a': 2}] | map(attribute='a') | join(',') }}", "1,2"),
    ("{{ [{'r': 'x'}, {'r': 'y'}] | selectattr('r', 'equalto', 'y') | list | length }}", "1"),
    ("{{ x is defined }}{{ none is none }}{{ 'a' is string }}{{ {} is mapping }}{{ 1 is not defined }}", "FalseTrueTrueTrueFalse"),
    ("{{ \"it's\" }}{{ 'a\\n' }}{{ 'a' 'b' }}", "it'sa\nab"),
    ("{{ strftime_now('%d %b %Y, %A') }}", "26 Jul 2024, Friday"),
    ("{{- 'a' -}}  {{+ 'b' }}", "ab"),
    ("{% generation %}a{% endgeneration %}", "a"),
  ])
  func rendersAsJinjaDoes(source: String, expected: String) throws {
    #expect(try render(source) == expected)
  }

  /// What is not understood is refused by name; what is wrong is said to be.
  @Test(arguments: [
    ("{% include 'x' %}", "'include'"), ("{% import 'x' as y %}", "'import'"), ("{% raw %}a{% endraw %}", "'raw'"),
    ("{% call f() %}{% endcall %}", "'call'"), ("{% filter upper %}a{% endfilter %}", "'filter'"),
    ("{{ x | wordwrap }}", "'wordwrap'"), ("{{ 1 is divisibleby 1 }}", "'divisibleby'"), ("{{ lipsum() }}", "'lipsum'"),
    ("{{ 'a'.zfill(3) }}", "'zfill'"), ("{{ [1] }}", "a list as text"), ("{{ 2 ** 3 }}", "'**'"), ("{{ 'a' % 1 }}", "'%'"),
    ("{{ {'items': 1}.items }}", "'items'"), ("{% for x in y recursive %}{% endfor %}", "recursive"),
    ("{% if true %}", "endif"), ("{{ 'a }}", "no end"), ("{{ a b }}", "after the end"), ("{{ (1 }}", "'}' closes"), ("{{ x.y }}", "undefined"),
    ("{{ 1 / 0 }}", "zero"), ("{{ range(1000000) | length }}", "range"), ("{{ raise_exception('no system role') }}", "no system role"),
    ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "without end"), ("{{ 9223372036854775807 + 1 }}", "too large"),
    ("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}", "more work"),
  ])
  func refusesByName(source: String, says: String) throws {
    do {
      let text = try render(source)
      Issue.record("\(source) gave \(text)")
    } catch let error as MeanderError {
      #expect(error.what.contains(says), "\(source): \(error.what)")
    }
  }

  @Test func depthIsBounded() {
    #expect(throws: MeanderError.self) { try render("{{ " + String(repeating: "(", count: 100_000)) }
    #expect(throws: MeanderError.self) { try render("{{ " + String(repeating: "not ", count: 100_000) + "1 }}") }
    #expect(throws: MeanderError.self) { try render(String(repeating: "{% if 1 %}", count: 100_000)) }
  }

  /// Templates spoiled at random end in text or in a `MeanderError`.
  @Test func mutationsDoNoHarm() throws {
    let source = """
      {%- if messages[0]['role'] == 'system' %}{% set s = messages[0].content | trim %}{% endif -%}
      {%- macro f(x, y=1) %}{{ x ~ y }}{% endmacro %}{% for m in messages[1:] if m %}{{ loop.index0 % 2 }}{{ f(m.role) }}{% endfor %}
      """
    let json = JSON([("messages", .array([JSON([("role", .string("user")), ("content", .string(" a "))])]))])
    var generator = SeededGenerator(seed: 9)
    var rendered = 0
    for _ in 0..<3000 {
      var bytes = Array(source.utf8)
      for _ in 0..<Int.random(in: 1...3, using: &generator) {
        let place = Int.random(in: 0..<bytes.count, using: &generator)
        switch Int.random(in: 0..<3, using: &generator) {
        case 0: bytes[place] = Array("{}%'|.[]()-+=~,: \n9ax".utf8).randomElement(using: &generator) ?? 0
        case 1: bytes.remove(at: place)
        default: bytes.insert(bytes[Int.random(in: 0..<bytes.count, using: &generator)], at: place)
        }
      }
      do {
        _ = try ChatTemplate(String(decoding: bytes, as: UTF8.self)).render(json)
        rendered += 1
      } catch is MeanderError {}
    }
    #expect(rendered > 100)
  }

  /// Published families' ways to write a conversation, in templates of our own wording.
  @Test func conversationsAreWrittenOut() throws {
    let chat = """
      {% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system
      Be kind.<|im_end|>
      ' }}{% endif %}{{'<|im_start|>' + message['role'] + '
      ' + message['content'] + '<|im_end|>' + '
      '}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant
      ' }}{% endif %}
      """
    let template = try ChatTemplate(chat)
    #expect(
      try template.render([.init(role: "user", content: "Hi")])
        == "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n")
    let headers = """
      {{- bos_token }}{%- for m in messages %}
          {%- if m.role not in ['user', 'assistant'] %}{{- raise_exception('Only two roles: ' + m.role) }}{%- endif %}
          {{- '<|start|>' + m['role'] + '<|end|>\\n\\n' + m['content'] | trim + '<|eot|>' }}
      {%- endfor %}
      """
    let other = try ChatTemplate(headers, beginOfText: "<s>")
    #expect(try other.render([.init(role: "user", content: " Hi ")]) == "<s><|start|>user<|end|>\n\nHi<|eot|>")
    #expect(throws: MeanderError.self) { try other.render([.init(role: "tool", content: "")]) }
  }
}
