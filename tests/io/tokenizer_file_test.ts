/** Files of tokenizers that nobody wrote: refused by name, before either library has them. */

import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { DataError, ModelError } from "../../src/errors.ts";
import { JsonFields } from "../../src/io/json.ts";
import { nativeTokenizer } from "../../src/io/native_tokenizer.ts";
import { Engines, LONGEST_TEXT } from "../../src/io/tokenizer_engines.ts";
import { checkedTokenizer } from "../../src/io/tokenizer_file.ts";

type Json = Record<string, unknown>;

/** A tokenizer of bytes and a few merges, without a pre-tokenizer, as LLaMA's is. */
function tokenizer(fields: Json = {}, model: Json = {}): Json {
  const pieces = ["<unk>", "<s>", "▁", "a", "b", "ab", "▁ab", "▁▁"];
  return {
    version: "1.0",
    added_tokens: [{ id: 1, content: "<s>", special: true }],
    normalizer: { type: "Replace", pattern: { String: " " }, content: "▁" },
    pre_tokenizer: null,
    post_processor: null,
    decoder: { type: "Replace", pattern: { String: "▁" }, content: " " },
    model: {
      type: "BPE",
      unk_token: "<unk>",
      vocab: Object.fromEntries(pieces.map((piece, id) => [piece, id])),
      merges: [["a", "b"], ["▁", "ab"], ["▁", "▁"]],
      ...model,
    },
    ...fields,
  };
}

const config = new JsonFields({}, "tokenizer_config.json");
const vocab = (tokens: Json): Json => ({ vocab: { "<unk>": 0, "<s>": 1, ...tokens }, merges: [] });
const split = (Regex: string): Json => ({
  pre_tokenizer: { type: "Split", pattern: { Regex }, behavior: "Isolated", invert: false },
});
const charsmap = (bytes: number[]): Json => ({
  normalizer: { type: "Precompiled", precompiled_charsmap: btoa(String.fromCharCode(...bytes)) },
});
let nested: Json = { type: "NFC" };
for (let i = 0; i < 5000; i++) nested = { type: "Sequence", normalizers: [nested] };

const REFUSED: [what: string, fields: Json, model?: Json][] = [
  [
    'the id of the token "zz" must be a whole number of at least 0: found "abc"',
    {},
    vocab({ zz: "abc" }),
  ],
  ["found null", {}, vocab({ zz: null })],
  ["found 1.5", {}, vocab({ zz: 1.5 })],
  ["found [5]", {}, vocab({ zz: [5] })],
  ["found -1", {}, vocab({ zz: -1 })],
  ['"<unk>" and "zz" have the same id, 0', {}, vocab({ zz: 0 })],
  ["has the id 2147483647, and the file has 3 tokens", {}, vocab({ zz: 2147483647 })],
  ['"q" in added_tokens has the id 100000000, and libraries give it 8', {
    added_tokens: [{ id: 1e8, content: "q" }],
  }],
  ['"<s>" has two ids, 1 and 9', { added_tokens: [{ id: 9, content: "<s>" }] }],
  ['"q" in added_tokens has the id 3, and libraries give it 8', {
    added_tokens: [{ id: 3, content: "q" }],
  }],
  ["content in added_tokens must be a text", { added_tokens: [{ id: 9, content: 7 }] }],
  ["lstrip in added_tokens must be", { added_tokens: [{ id: 8, content: "q", lstrip: "x" }] }],
  ["added_tokens must be a list", { added_tokens: { a: 1 } }],
  ["model must be an object: found 5", { model: 5 }],
  ["vocab must be an object", {}, { vocab: 7 }],
  ["merges must be a list of pairs", {}, { merges: [["a"]] }],
  ["merges must be a list of pairs", {}, { merges: [["a", "b"], "a b"] }],
  ["whose second token begins with", {}, { continuing_subword_prefix: "##########" }],
  ["byte_fallback must be true or false", {}, { byte_fallback: "yes" }],
  ["unk_token must be a token: found 3", {}, { unk_token: 3 }],
  ["vocab[0] must be a token and its score", {}, { type: "Unigram", vocab: [["a", null]] }],
  ["unk_id must be a place in vocab", {}, { type: "Unigram", vocab: [["a", 0]], unk_id: 5 }],
  ["max_input_chars_per_word", {}, { type: "WordPiece", max_input_chars_per_word: 1e9 }],
  ["normalizer must hold objects", { normalizer: "NFC" }],
  ["types that are names", { normalizer: { type: 5 } }],
  ["normalizers in normalizer must be a list", { normalizer: { type: "Sequence" } }],
  ["more than 20 levels deep", { normalizer: nested }],
  ["length of FixedLength", { pre_tokenizer: { type: "FixedLength", length: 0 } }],
  ["content of Replace in decoder", { decoder: { type: "Replace", pattern: { String: "a" } } }],
  ["pattern of Replace in decoder", { decoder: { type: "Replace", content: "" } }],
  ["can itself match a text in many ways", split("(a+)+$")],
  ["words and spaces", split("[\\s\\S]*\\u0000")],
  ["times longer", {
    normalizer: {
      type: "Sequence",
      normalizers: Array.from(
        { length: 40 },
        () => ({ type: "Replace", pattern: { String: "a" }, content: "aa" }),
      ),
    },
  }],
  ["times longer", {
    normalizer: { type: "Replace", pattern: { Regex: "" }, content: "x".repeat(99) },
  }],
  ["a table as sentencepiece", charsmap([4, 0, 0, 0, 255, 255, 255, 255, 65, 0])],
  ["a table as sentencepiece", charsmap([0, 0, 0, 0])],
  ["special_tokens must be tokens and their ids", {
    post_processor: {
      type: "TemplateProcessing",
      single: [],
      special_tokens: { a: { ids: [99] } },
    },
  }],
  ["sep in post_processor must be a token and its id in vocab", {
    post_processor: { type: "BertProcessing", sep: ["<s>", 1000], cls: ["<s>", 1] },
  }],
  ["a template of sequences and of tokens", {
    post_processor: {
      type: "TemplateProcessing",
      single: [{ SpecialToken: { id: "q", type_id: 0 } }],
      special_tokens: {},
    },
  }],
];

Deno.test("what is wrong with a file is named, with what was found and what has to be", () => {
  for (const [what, fields, model] of REFUSED) {
    const error = assertThrows(
      () => checkedTokenizer(tokenizer(fields, model), "t.json"),
      ModelError,
      what,
      what,
    );
    assert(error.message.startsWith('Cannot use the tokenizer in "t.json": '), error.message);
    assertStringIncludes(error.message, "save it again");
  }
  assertThrows(() => checkedTokenizer([], "t.json"), ModelError, "must be an object");
});

Deno.test("a token may have an id beyond the others, and parts may be left out", async () => {
  const file = tokenizer({}, vocab({ a: 3, b: 60_000 }));
  for (const part of ["normalizer", "pre_tokenizer", "post_processor", "decoder"]) {
    delete file[part];
  }
  const engines = await Engines.open("t.json", file, config, false);
  assertEquals(await engines.encodeBatch(["ab"]), [[3, 60_000]]);
});

Deno.test("merges are of tokens that there are, with either library", async () => {
  // The second would take the native library, and the process, down: no token is as long.
  for (const merge of [["b", "a"], ["<unk>", "▁▁"]]) {
    const file = tokenizer({}, { merges: [merge] });
    for (const native of [false, true]) {
      await assertRejects(
        () => Engines.open("t.json", file, config, native),
        ModelError,
        `needs the token "${merge.join("")}", which is not in vocab`,
      );
    }
  }
});

Deno.test("what a library throws from within is named", async () => {
  const extra = new JsonFields({ additional_special_tokens: 5 }, "tokenizer_config.json");
  await assertRejects(
    () => Engines.open("t.json", tokenizer(), extra, false),
    ModelError,
    "additional_special_tokens in tokenizer_config.json must be a list of tokens: found 5",
  );
  const odd = tokenizer({ decoder: { type: "Quux" } });
  await assertRejects(
    () => Engines.open("t.json", odd, config, false),
    ModelError,
    "Unknown Decoder type: Quux",
  );
});

Deno.test("a table of normalizations that leads nowhere out is taken", async () => {
  // The root's children are at 256 ^ byte. That of "a" has a replacement, the text that begins at 0.
  const units = new Uint32Array(512);
  const child = 256 ^ 97;
  units[0] = 256 << 10;
  units[child] = 97 | 1 << 8 | (child ^ 128) << 10;
  const bytes = [0, 8, 0, 0, ...new Uint8Array(units.buffer), 98, 0];
  const file = tokenizer(charsmap(bytes));
  checkedTokenizer(file, "t.json");
  const engines = await Engines.open("t.json", file, config, true);
  if (engines.isNative) assertEquals(await engines.encodeBatch(["aba"]), [[4, 4, 4]]);
  assertThrows(() => checkedTokenizer(tokenizer(charsmap(bytes.slice(0, -2))), "t"), ModelError);
});

Deno.test("words of sentencepiece are taken one by one in JavaScript, with the same tokens", async () => {
  const texts = ["ab ab", "  ab  a b", "a▁ab", "", " ", "b ab▁▁▁ab zz é"];
  const apart = tokenizer({}, { fuse_unk: true });
  // A merge across the end of a word, of tokens that no text has: nothing is taken apart then.
  const whole = tokenizer({}, {
    fuse_unk: true,
    vocab: { ...(apart.model as Json).vocab as Json, "Q▁": 8, "Q": 9 },
    merges: [...(apart.model as Json).merges as string[][], ["Q", "▁"]],
  });
  const ids = async (file: Json, native: boolean) =>
    (await Engines.open("t.json", file, config, native)).encodeBatch(texts);
  const expected = await ids(whole, false);
  assertEquals(await ids(apart, false), expected);
  if (typeof await nativeTokenizer(apart) !== "string") {
    assertEquals(await ids(apart, true), expected);
  }
});

Deno.test("a dollar sign in a replacement is one, in JavaScript too", async () => {
  const replaced = { type: "Replace", pattern: { String: "b" }, content: "$&$$a" };
  const file = tokenizer({ normalizer: replaced }, vocab({ "$": 2, "&": 3, a: 4 }));
  const engines = await Engines.open("t.json", file, config, false);
  assertEquals(await engines.encodeBatch(["ba"]), [[2, 3, 2, 2, 4, 4]]);
});

Deno.test("a text that is too long is refused, with how long one may be", async () => {
  const engines = await Engines.open("t.json", tokenizer(), config, true);
  const long = "a".repeat(LONGEST_TEXT + 1);
  const error = await assertRejects(() => engines.encodeBatch(["a", long]), DataError);
  assertStringIncludes(error.message, "4194305 characters");
  assertStringIncludes(error.message, "4194304 are the most, so split it");
  assertThrows(() => engines.encode(long), DataError);
});
