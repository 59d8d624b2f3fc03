import { assert, assertEquals, assertMatch } from "@std/assert";
import { stories } from "../../../examples/tiny/generator/corpus.ts";
import { instructions } from "../../../examples/tiny/generator/instructions.ts";
import { Tokenizer } from "../../../src/io/tokenizer.ts";

const rows = instructions(1500, 200, 3);
const all = [...rows.train, ...rows.eval];

Deno.test("instructions are as many as asked for, and no prompt comes twice", () => {
  assertEquals([rows.train.length, rows.eval.length], [1500, 200]);
  assertEquals(new Set(all.map(({ prompt }) => prompt)).size, 1700);
});

Deno.test("every instruction is a request and a sentence that answers it", () => {
  for (const { prompt, completion } of all) {
    assertMatch(prompt, /^([A-Z][^\n]*\.\n)?(Question: [^\n]*\?|Task: [^\n]*\.)\nAnswer:$/);
    assertMatch(completion, /^ [A-Za-z][^\n]*\.$/);
  }
});

Deno.test("the form of the instructions is unknown to the corpus, their letters are not", () => {
  const corpus = [...stories(1000, 1)].join("\n");
  assert(!/Question:|Task:|Answer:/.test(corpus));
  const letters = new Set(corpus);
  for (const { prompt, completion } of all) {
    for (const letter of prompt + completion) assert(letters.has(letter), letter);
  }
});

Deno.test("no instruction is longer than 96 tokens", async () => {
  const tokenizer = await Tokenizer.load("examples/tiny/model");
  for (const { prompt, completion } of all) {
    const length = tokenizer.encode(prompt + completion).length + 1; // the end of text
    assert(length <= 96, `${length} tokens: ${prompt}${completion}`);
  }
});

Deno.test("questions about a passage are answered as the passage says", () => {
  let checked = 0;
  for (const { prompt, completion } of all) {
    const [, thing] = prompt.match(/What colour is the (\w+)\?/) ?? [];
    if (thing === undefined) continue;
    const [, colour] = prompt.match(new RegExp(` (\\w+) ${thing}\\.`))!;
    assertEquals(completion, ` The ${thing} is ${colour}.`);
    checked++;
  }
  assert(checked > 50);
});
