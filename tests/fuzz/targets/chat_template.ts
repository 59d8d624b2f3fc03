/** Chat templates: parsed and rendered; what is wrong with one is said in words of the template. */

import { FalqonError } from "../../../src/errors.ts";
import { ChatTemplate } from "../../../src/io/chat_template.ts";
import { CHAT_TEMPLATES } from "../../../src/io/chat_templates.ts";
import { LONGEST_TEXT } from "../../../src/io/jinja_budget.ts";
import { mutateText } from "../frame/mutate_text.ts";
import { type FuzzTarget, Nonsense } from "../frame/target.ts";

const GOLDEN: [source: string, text: string | null][] =
  JSON.parse(await Deno.readTextFile(new URL("../../golden/jinja.json", import.meta.url)))
    .templates;
const SEEDS = [
  ...Object.values(CHAT_TEMPLATES).map(({ source }) => source),
  ...GOLDEN.map(([source]) => source),
  "{% macro f(x, d=0) %}{{ x }}{% if d < 3 %}{{ f(x ~ x, d=d + 1) }}{% endif %}{% endmacro %}{{ f('ab') }}",
  "{% call(a) f(1) %}{{ a }}{% endcall %}{% filter upper %}{{ messages[0].content }}{% endfilter %}",
];
const PIECES = [
  ...[
    "{% for x in messages %}",
    "{% endfor %}",
    "{% if true %}",
    "{% endif %}",
    "{% set x = x ~ x %}",
  ],
  ...[
    "{% set ns = namespace(s='ab', l=[1]) %}",
    "{% set ns.s = ns.s + ns.s %}",
    "{{ f(f) }}",
    "{{ ns.l }}",
  ],
  ...[
    "{% set ns.l = [ns.l, ns.l] %}",
    "{% for i in range(99999) %}",
    "{% for i in range(30) %}",
    "| tojson",
  ],
  ...[
    "{{",
    "}}",
    "{%",
    "%}",
    "{#",
    "#}",
    "-%}",
    "{%- ",
    "| join(ns.s)",
    "| replace('a', ns.s)",
    "[::-1]",
  ],
  ...[
    "{% macro f(x) %}",
    "{% endmacro %}",
    "{% break %}",
    "{% continue %}",
    "| indent(99999999)",
    "* 9",
  ],
  ...[
    ".split('')",
    ".split('a')",
    ".format(x)",
    ".strip()",
    "| sort",
    "| first",
    "| length",
    "| map('x')",
  ],
  ...[
    "is defined",
    "not in",
    "~",
    "**",
    "//",
    "%",
    "loop.index",
    "messages",
    "none",
    "999999999",
    "(",
  ],
  ...[
    "{% generation %}",
    "{% endgeneration %}",
    "{% else %}",
    "{% elif x %}",
    "raise_exception(x)",
  ],
];
const MESSAGES = [
  { role: "system", content: "Be brief." },
  { role: "user", content: "Hi, a?\n<b>" },
  {
    role: "assistant",
    content: "Ho.",
    tool_calls: [{ function: { name: "f", arguments: { a: 1 } } }],
  },
];
/** What JavaScript, not the template, says. */
const INTERNAL =
  /Cannot (read|set|destructure)|is not (a function(?!: got)|iterable|a constructor|defined|an object)|undefined \(|call stack|Invalid (string|array|count)|\[object/;

export const target: FuzzTarget<string> = {
  about: "chat template, parsed and rendered",
  cost: "cheap",
  gate: 300,
  prepare: () => ({
    make: (random) => mutateText(random, SEEDS, PIECES),
    run: (source) => {
      try {
        const template = new ChatTemplate(source, { bos_token: "<s>", eos_token: "</s>" });
        const text = template.render(MESSAGES, { addGenerationPrompt: true });
        if (text.length > 2 * LONGEST_TEXT) {
          throw new Nonsense(`it gives ${text.length} characters`);
        }
        void template.closing;
      } catch (error) {
        if (error instanceof FalqonError && INTERNAL.test(error.message)) {
          throw new Nonsense(`it is refused by "${error.message}"`);
        }
        throw error;
      }
    },
  }),
};
