/** The template engine against Jinja as transformers has it; tests/golden/README.md says how. */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { Jinja } from "../../src/io/jinja.ts";
import { BudgetError } from "../../src/io/jinja_budget.ts";
import { strftime } from "../../src/io/jinja_globals.ts";

const { variables, templates } = JSON.parse(
  await Deno.readTextFile(new URL("../golden/jinja.json", import.meta.url)),
) as { variables: Record<string, unknown>; templates: [string, string | null][] };

const render = (source: string, values: Record<string, unknown> = {}, steps?: number) =>
  new Jinja(source).render(values, steps).text;

/** What the engine refuses, though Jinja knows it. */
const REFUSED = [
  "'a' < 'b'",
  "| sum",
  "'a'.join(",
  ".format(",
  '"%d" %',
  "'ab' * 2",
];
/** Pairs of a mapping are lists here: they print in another way, and nothing else shows it. */
const OTHER = ["| dictsort"];

Deno.test("templates give what Jinja gives, or are refused", () => {
  let compared = 0;
  for (const [source, want] of templates) {
    if (OTHER.some((part) => source.includes(part))) continue;
    if (want === null || REFUSED.some((part) => source.includes(part))) {
      assertThrows(() => render(source, variables), Error, "", source);
      continue;
    }
    assertEquals(render(source, variables), want, source);
    compared++;
  }
  assert(compared >= 40, `${compared} templates were compared`);
});

Deno.test("what stands before continue and break is kept, in loops within loops and in macros", () => {
  const inner = "{% for y in xs %}{% if y == 1 %}<{% continue %}{% endif %}{{ y }}" +
    "{% if y == 2 %}!{% break %}{% endif %}{% endfor %}";
  assertEquals(
    render(`{% for x in xs %}${inner};{% endfor %}`, { xs: [3, 1, 2, 5] }),
    "3<2!;3<2!;3<2!;3<2!;",
  );
  const macro =
    `{% macro f() %}${inner}{% endmacro %}{% for x in xs %}[{{ f() }}]{% break %}{% endfor %}`;
  assertEquals(render(macro, { xs: [3, 1, 2] }), "[3<2!]");
  // What a set block has caught is lost with the block.
  const caught = "{% for x in xs %}a{% set t %}b{% continue %}{% endset %}{% endfor %}";
  assertEquals(render(caught, { xs: [1, 2] }), "aa");
});

Deno.test("generation blocks are found where they are, whatever white space their tags take", () => {
  const source = "{% for m in messages %}<{{ m.role }}>\n" +
    "{%- if m.role == 'assistant' %}\n  {%- generation %}\n{{ m.content }}.\n  {%- endgeneration %}\n" +
    "{% else %}{{ m.content }}{% endif %}{% endfor %}";
  const messages = [
    { role: "user", content: "Q" },
    { role: "assistant", content: "A" },
    { role: "user", content: "R" },
    { role: "assistant", content: "BB" },
  ];
  const jinja = new Jinja(source);
  assert(jinja.marksGenerated);
  const { text, generated } = jinja.render({ messages });
  assertEquals(
    text,
    render(source.replaceAll(/\{%-? (end)?generation %\}/g, "{%- if true %}{% endif %}"), {
      messages,
    }),
  );
  assertEquals(generated.map(([start, end]) => text.slice(start, end)), ["A.", "BB."]);
  assertEquals(new Jinja("{{ x }}").marksGenerated, false);
});

Deno.test("dates are written in English, and unknown directives refused", () => {
  const date = new Date(2026, 10, 7, 15, 4, 5);
  assertEquals(
    strftime(date, "%d %b %Y, %A %-d %B %y %H:%M:%S %I %p %%"),
    "07 Nov 2026, Saturday 7 November 26 15:04:05 03 PM %",
  );
  assertThrows(() => strftime(date, "%Q"), Error, "does not know %Q");
  assertEquals(render("{{ strftime_now('%Y') }}"), String(new Date().getFullYear()));
});

/** A list of 2^60 numbers, in 60 lists. */
const DOUBLED = grown("[ns.s, ns.s]", 60, "[1]");

/** Templates of a line or two that would fill the memory, or never end; and what of them is said. */
const ENDLESS: [what: string, source: string][] = [
  ["steps", "{% for i in range(9999) %}".repeat(3) + "{% endfor %}".repeat(3)],
  ["a range of 90000000 numbers", "{% for i in range(90000000) %}{% endfor %}"],
  ["steps", `${grown("ns.s + ns.s", 40)}{{ ns.s }}`],
  ["steps", `${grown("ns.s ~ ns.s", 40)}{{ ns.s | length }}`],
  ["steps", "{% macro f(n) %}{{ f(n - 1) ~ f(n - 1) if n else 'x' }}{% endmacro %}{{ f(60) }}"],
  ["levels deep (a macro calls itself?)", "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}"],
  ["steps", `${grown("ns.s + ns.s", 40, "[1]")}`],
  ["steps", `${DOUBLED}{{ ns.s }}`],
  ["steps", `${DOUBLED}{{ ns.s | tojson }}`],
  ["steps", `${DOUBLED}{% set a = ns.s %}${DOUBLED}{{ a == ns.s }}`],
  ["text of", "{{ 'a\nb' | indent(999999999) }}"],
  ["text of", "{{ [1, [2]] | tojson(indent=400000000) }}"],
  ["text of", `${grown("ns.s + ns.s", 15)}{{ range(9999) | join(ns.s) }}`],
  ["text of", `${grown("ns.s + ns.s", 15)}{{ ns.s.replace('a', ns.s) }}`],
  ["text of", `${grown("ns.s + ns.s", 15)}{{ ns.s | replace('', ns.s) }}`],
  ["steps", `${grown("ns.s + ns.s", 15)}{{ ns.s.replace(ns.s[:150000] ~ 'z', '') }}`],
  ["steps", `${grown("ns.s + ns.s", 15)}{% for c in ns.s %}{% endfor %}`],
  ["steps", `${grown("ns.s + ns.s", 20, "'a b '")}{{ ns.s.split() }}{{ ns.s.splitlines() }}`],
  ["steps", `${grown("ns.s + [range(99999)]", 9999, "[]")}`],
  [
    "steps",
    `{% for i in range(99999) %}{% macro f() %}${"{{ a }}".repeat(999)}{% endmacro %}{% endfor %}`,
  ],
  ["levels deep", `{{ 1${" + 1".repeat(9999)} }}`],
];

/** A template with a value that grows in a loop. */
function grown(next: string, times: number, first = "'abcdefgh'"): string {
  return `{% set ns = namespace(s=${first}) %}{% for i in range(${times}) %}` +
    `{% set ns.s = ${next} %}{% endfor %}`;
}

Deno.test("a template that costs too much is ended, by the count of its steps", () => {
  for (const [what, source] of ENDLESS) {
    const error = assertThrows(() => render(source, {}, 400_000), BudgetError, what, source);
    assert(error.message.length < 200, error.message);
  }
});

Deno.test("long conversations have more steps and longer texts, in proportion to what is given", () => {
  const source = "{% for m in messages %}{% for n in messages %}{% endfor %}{% endfor %}" +
    "{% set ns = namespace(s='') %}{% for m in messages %}{% set ns.s = ns.s + m.content %}" +
    "{% endfor %}{{ ns.s }}";
  const messages = Array.from({ length: 150 }, () => ({ content: "lorem ipsum ".repeat(20) }));
  assertEquals(render(source, { messages }, 100_000).length, 150 * 240);
  assertThrows(() => render(source.replaceAll("messages", "range(150)"), {}, 100_000), BudgetError);
});

Deno.test("what a template must not do is said in its own words", () => {
  const said: [string, string][] = [
    ["{{ 5 // 0 }}", "division by zero"],
    ["{{ 'abc'[::0] }}", "slice step cannot be zero"],
    ["{{ range(1.5) }}", "range() takes one to three whole numbers"],
    ["{{ 9007199254740993 * 3 }}", "beyond 2^53"],
    ["{{ raise_exception([1]) }}", "raise_exception() takes a text"],
    ["{{ xs | join(',', attribute='a') }}", "not attribute"],
    ["{% set ns = namespace() %}{% set ns.a = ns %}{{ ns | tojson }}", "levels deep in each other"],
    ["{% break %}", "outside of a loop"],
  ];
  for (const [source, what] of said) {
    assertThrows(() => render(source, { xs: [{ a: 1 }] }), Error, what, source);
  }
  assertEquals(render("{{ [] | first }}|{{ [] | last }}"), "|");
  const long = assertThrows(() => render(`{{ raise_exception('${"x".repeat(9999)}') }}`), Error);
  assert(long.message.length < 400);
  for (
    const source of ["{{ {'a'", "{% macro f(", "{% if true %}", "{%", "{% for x in", "{{ [1, "]
  ) {
    const error = assertThrows(() => new Jinja(source), Error);
    assert(!/undefined|propert/.test(error.message), error.message);
  }
  for (const source of [" ".repeat(20_000) + "x", "x".repeat((1 << 20) + 1)]) {
    assertThrows(() => new Jinja(source), Error, "it has");
  }
  const marked = "{% generation %}{{ a }}{% endgeneration %}";
  assertThrows(() => render(marked, { a: "\uFDD0" }), Error, "U+FDD0");
  assertEquals(render("{{ a }}", { a: "\uFDD0b" }), "\uFDD0b");
});
