/** The template engine against Jinja as transformers has it; tests/golden/README.md says how. */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { Jinja } from "../../src/io/jinja.ts";
import { strftime } from "../../src/io/jinja_globals.ts";

const { variables, templates } = JSON.parse(
  await Deno.readTextFile(new URL("../golden/jinja.json", import.meta.url)),
) as { variables: Record<string, unknown>; templates: [string, string | null][] };

const render = (source: string, values: Record<string, unknown> = {}) =>
  new Jinja(source).render(values).text;

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
