/** Regular expressions of files: matched in bounded time, and judged before a backtracking engine has them. */

import { assertEquals, assertThrows } from "@std/assert";
import { ModelError } from "../../src/errors.ts";
import { JsonFields } from "../../src/io/json.ts";
import { expectSafe } from "../../src/io/patterns/judge.ts";
import { BoundedPattern } from "../../src/io/patterns/matcher.ts";
import { patternOf } from "../../src/io/peft_settings.ts";
import { namesModule } from "../../src/model/module_patterns.ts";

/** Expressions with texts: JavaScript's own engine, which knows these, is the oracle. */
const TEXTS = [
  "",
  "model.layers.0.self_attn.q_proj",
  "model.layers.11.mlp.gate",
  "lm_head",
  "aaaaab",
  "x-1_2",
  "A.b\nc",
];
const SAME = [
  ".*lm_head",
  "model\\.layers\\.[0-9]+\\.(?:self_attn|mlp)\\.(q|k|v)_proj$",
  ".*\\.mlp\\.gate$",
  "(?!.*mlp).*proj",
  "(?:.*\\.)?gate$",
  "^model(?=\\.).*(?<=\\.)q_proj",
  "(?<!x)lm",
  "[^.]+\\.layers\\.\\d{1,2}\\.",
  "a*?b|a+b",
  "(a|aa)*b$",
  "(?:a{2}){2}a?b",
  "[a-z_]+\\b",
  "\\w+-\\d\\B",
  ".+\\nc",
  "(a+)+$",
  "()*a",
  "[\\d\\-x]+_",
  "[^\\W\\d]+$",
];

Deno.test("names are matched as JavaScript's engine matches them, forwards from their start", () => {
  for (const source of SAME) {
    const [pattern, oracle] = [new BoundedPattern(source), new RegExp(`^(?:${source})`)];
    for (const text of TEXTS) {
      assertEquals(pattern.matches(text), oracle.test(text), `${source} ${text}`);
    }
  }
  assertEquals(new BoundedPattern("(?i)LM_(?-i:head)").matches("lm_head"), true);
  assertEquals(new BoundedPattern("(?P<name>lm)_").matches("lm_head"), true);
  assertEquals(new BoundedPattern("lm(?# of course)_head\\Z").matches("lm_head"), true);
});

Deno.test("no expression is matched for long, and what is not known is named", () => {
  const name = "model.layers.0.self_attn." + "a".repeat(200);
  for (const source of [".*".repeat(80) + "x", "(a+)+$", "(.*)*(.*)*x", "((a?){50}){50}b"]) {
    assertEquals(new BoundedPattern(source).matches(name), false, source);
  }
  const refused: [string, string][] = [
    ["(a)\\1", "a reference to a group"],
    ["(?(1)a|b)", "a condition on a group"],
    ["(?P=a)", "a group that stands for another"],
    ["(?<a>b)", "a group of an unknown kind"],
    ["a{2,1}", "the wrong way round"],
    ["(a", "not closed"],
    ["a)", "closes no group"],
    ["[a", "not closed"],
    ["*a", "nothing to repeat"],
    ["\\q", "the escape \\q"],
    ["a\\", "ends with a backslash"],
    ["(".repeat(300), "levels deep"],
    ["a".repeat(10_001), "10000 are the most"],
  ];
  for (const [source, what] of refused) {
    assertThrows(() => new BoundedPattern(source), Error, what, source);
    assertThrows(() => namesModule(`re:${source}`, name, "ignore"), ModelError, what);
  }
  const looks = new BoundedPattern("(?:(?=(?:(?=.*).)*).)*$");
  assertThrows(() => looks.matches("a".repeat(1000)), Error, "too many steps");
});

Deno.test("patterns of adapters match a module's name from a dot on, to its end", () => {
  const fields = new JsonFields({
    rank_pattern: { "layers\\.1\\.q_proj": 4, "^lm_head": 8, ".*(v|o)_proj": 16 },
  }, "adapter");
  assertEquals(patternOf(fields, "rank_pattern", "model.layers.1.q_proj"), 4);
  assertEquals(patternOf(fields, "rank_pattern", "model.layers.11.q_proj"), undefined);
  assertEquals(patternOf(fields, "rank_pattern", "lm_head"), 8);
  assertEquals(patternOf(fields, "rank_pattern", "model.layers.1.o_proj"), 16);
  const hostile = new JsonFields({ rank_pattern: { "(a+)+(b|\\1)": 4 } }, "adapter");
  assertThrows(() => patternOf(hostile, "rank_pattern", "lm_head"), ModelError, "a reference");
});

/** The expressions by which published tokenizers split texts. */
const PUBLISHED = [
  String.raw`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`,
  String
    .raw`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
  String
    .raw`[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
  String
    .raw`[\p{Han}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
  "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+",
  String
    .raw`'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+`,
  "[\\r\\n]",
  "\\s?\\p{L}+",
  "\\s?\\p{P}+",
  "[一-龥ࠀ-一가-퟿]+",
  " ?[^(\\s|[.,!?…。，、।۔،])]+",
  "[\\p{P}\\$\\+<=>\\^~\\|`]+",
  "[0-9][0-9][0-9]",
  "<sentinel:[0-9]+>",
  "(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z",
  "([\\t\\n]|    |  )",
  "[\\p{P}!-/:-@\\[-`{-~]",
  String.raw`\d{1,3}(?=(?:\d{3})*\b)`,
  String.raw`(?=(\d{3})+(?!\d))`,
  String.raw`(?:\r?\n)+(?!\r?\n)`,
  String
    .raw`(\[[^\]]+]|Br?|Cl?|N|O|S|P|F|I|b|c|n|o|s|p|\(|\)|\.|=|#|-|\+|\\|\/|:|~|@|\?|>>?|\*|\$|\%[0-9]{2}|[0-9])`,
  " {2,}",
  "``|''",
  "^\\s+|\\s+$",
  "[[:alpha:]]+|[^[:space:]]",
];

Deno.test("the expressions of published tokenizers are taken", () => {
  for (const source of PUBLISHED) expectSafe(source);
});

Deno.test("expressions that could keep an engine busy are refused, by why", () => {
  const many = "in many ways";
  const refused: [string, string][] = [
    ["(a+)+$", many],
    ["(a*)*b", many],
    ["(a|a)+$", many],
    ["(a|aa)+$", many],
    ["a*a*a*$", many],
    ["\\s*\\s*x", many],
    ["(\\w+\\s?)*$", many],
    ["(x+x+)+y", many],
    ["([a-z]+)*\\d", many],
    ["(?=(a+)+$)x", many],
    ["(\\s+|x)+(?!\\S)", many],
    ["(?:\\p{N}{1,3})+(?=\\p{L})", many],
    ["(a{2}+)+$", many], // braces know no possessive form
    ["(?:a?){30}a{30}", "too many ways"],
    ["(a?){99}b", "too many ways"],
    ["[\\s\\S]*\\u0000", "words and spaces"],
    [".*x", "words and spaces"],
    ["(?<=a*)b", "looks back without a bound"],
    ["(?:(?:a{100}){100}){100}b", "repeat more"],
    ["\\1(a)", "a reference"],
    ["(?~x)", "Oniguruma's own"],
    ["[a", "not closed"],
  ];
  for (const [source, what] of refused) assertThrows(() => expectSafe(source), Error, what, source);
});
