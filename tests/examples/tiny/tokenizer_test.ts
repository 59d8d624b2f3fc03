import { assert, assertEquals, assertThrows } from "@std/assert";
import { learnMerges } from "../../../examples/tiny/generator/bpe.ts";
import { VOCABULARY_SIZE } from "../../../examples/tiny/generator/config.ts";
import { stories } from "../../../examples/tiny/generator/corpus.ts";
import { trainTokenizer } from "../../../examples/tiny/generator/tokenizer.ts";
import { DataError } from "../../../src/errors.ts";
import { Tokenizer } from "../../../src/io/tokenizer.ts";

const tokenizer = await Tokenizer.load("examples/tiny/model");

Deno.test("merges are learnt from the most frequent pair on, ties by spelling", () => {
  const words = new Map([["abab", 3], ["cd", 6], ["ce", 5]]);
  // "ab" and "cd" both stand 6 times; then "ce" 5 times, then "ab"+"ab" 3 times.
  assertEquals(learnMerges(words, 9), {
    alphabet: ["a", "b", "c", "d", "e"],
    merges: [["a", "b"], ["c", "d"], ["c", "e"], ["ab", "ab"]],
  });
});

Deno.test("a run of one letter is merged from the left", () => {
  assertEquals(learnMerges(new Map([["aaab", 1]]), 4).merges, [["a", "a"], ["aa", "a"]]);
});

Deno.test("words that are too few for the vocabulary are refused", () => {
  assertThrows(() => learnMerges(new Map([["ab", 1]]), 4), DataError, "3 pieces, but 4");
  assertThrows(() => trainTokenizer([], 512), DataError, "0 pieces, but 253");
});

Deno.test("the tiny tokenizer numbers its tokens without gaps", async () => {
  const { model } = JSON.parse(await Deno.readTextFile("examples/tiny/model/tokenizer.json"));
  const ids = Object.values<number>(model.vocab);
  assertEquals(ids, Array.from({ length: VOCABULARY_SIZE }, (_, id) => id));
  assertEquals([tokenizer.bosTokenId, tokenizer.eosTokenId], [1, 2]);
});

Deno.test("the tiny tokenizer gives the ids that the Rust library gives", () => {
  // By tokenizers 0.23.2 for Python, from the same tokenizer.json.
  const golden: [string, number[]][] = [
    [
      "Mia the fox has a red hat.\nQuestion: What colour is the hat?",
      // deno-fmt-ignore
      [
        1, 399, 314, 325, 435, 381, 315, 365, 323, 341, 304, 262, 13, 390, 360, 304, 293, 384, 263,
        311, 493, 353, 478, 296, 338, 302, 357, 314, 341, 304, 264,
      ],
    ],
    [" a  b", [1, 311, 315, 311, 316]],
    [
      "Zürich 漢 🙂",
      [1, 311, 93, 198, 191, 302, 293, 287, 292, 311, 233, 191, 165, 311, 243, 162, 156, 133],
    ],
  ];
  for (const [text, ids] of golden) assertEquals(tokenizer.encode(text), ids);
});

Deno.test("the tiny tokenizer gives back every story exactly", () => {
  for (const story of stories(300, 7)) {
    const ids = tokenizer.encode(story);
    assertEquals(ids[0], 1);
    assertEquals(tokenizer.decode(ids), story);
  }
});

Deno.test("the tiny tokenizer gives back text unlike its own exactly", () => {
  for (
    const text of [
      "",
      " ",
      " a",
      "a  b \n\n c ",
      "Zürich – 漢字 🙂 costs $5.70",
      "tab\tand 'quote' \"quote\"",
      "line\r\nline\u0000",
    ]
  ) {
    const ids = tokenizer.encode(text);
    assert(ids.every((id) => id >= 1 && id < VOCABULARY_SIZE));
    assertEquals(tokenizer.decode(ids), text);
  }
});
