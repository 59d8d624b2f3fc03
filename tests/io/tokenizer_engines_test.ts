/** Both tokenizer libraries against ids of the Python package tokenizers; tests/golden/README.md. */

import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { ModelError } from "../../src/errors.ts";
import { forJavaScript } from "../../src/io/javascript_tokenizer.ts";
import { JsonFields } from "../../src/io/json.ts";
import { nativeTokenizer } from "../../src/io/native_tokenizer.ts";
import { Engines } from "../../src/io/tokenizer_engines.ts";

interface Golden {
  model: { vocab: Record<string, number>; merges: [string, string][] };
  texts: string[];
  tokenizers: { name: string; space?: string; pre_tokenizer: unknown; ids: string[] }[];
}
const golden: Golden = JSON.parse(
  await Deno.readTextFile(new URL("../golden/tokenizers.json", import.meta.url)),
);

/** Whether the optional native library is there. */
const native = typeof await nativeTokenizer(json({})) !== "string";
const config = new JsonFields({}, "none");

/** A tokenizer.json with the golden vocabulary, in which `space` stands for a space. */
function json(fields: Record<string, unknown>, space = "Ġ"): Record<string, unknown> {
  const { vocab, merges } = golden.model;
  const spelled = (piece: string) => piece.replaceAll("Ġ", space);
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: [],
    normalizer: null,
    pre_tokenizer: { type: "ByteLevel", add_prefix_space: false, use_regex: true },
    post_processor: null,
    decoder: { type: "ByteLevel" },
    ...fields,
    model: {
      ...golden.model,
      unk_token: space === "Ġ" ? null : "!",
      vocab: Object.fromEntries(Object.entries(vocab).map(([piece, id]) => [spelled(piece), id])),
      merges: merges.map((pair) => pair.map(spelled)),
    },
  };
}

for (const { name, space, pre_tokenizer, ids } of golden.tokenizers) {
  Deno.test(`${name}: the ids are those of the Rust library, in JavaScript too`, async () => {
    const file = json({ pre_tokenizer }, space);
    assertEquals(forJavaScript(file).unsupported, []);
    for (const wantsNative of native ? [false, true] : [false]) {
      const engines = await Engines.open(name, file, config, wantsNative);
      assertEquals(engines.isNative, wantsNative);
      assertEquals(engines.notices, []);
      const batch = await engines.encodeBatch(golden.texts);
      assertEquals(batch.map((got) => got.join(" ")), ids, `native: ${wantsNative}`);
      golden.texts.forEach((text, i) => assertEquals(engines.encode(text).join(" "), ids[i]));
    }
  });
}

Deno.test("what JavaScript gets wrong is said, and only the native library encodes it", async () => {
  const word = { id: 380, content: "and", single_word: true, special: false };
  const cases: [Record<string, unknown>, string][] = [
    [{ added_tokens: [word] }, "the token and with single_word"],
    [{ normalizer: { type: "BertNormalizer" } }, "the normalizer BertNormalizer"],
    [
      {
        pre_tokenizer: {
          type: "Split",
          pattern: { Regex: "\\w+" },
          behavior: "MergedWithNext",
          invert: true,
        },
      },
      "Split with MergedWithNext, inverted",
    ],
  ];
  for (const [fields, wrong] of cases) {
    const plain = await Engines.open("x", json(fields), config, false);
    assertEquals(plain.notices.length, 1);
    assertStringIncludes(plain.notices[0], `has ${wrong}`);
    if (!native) continue;
    const engines = await Engines.open("x", json(fields), config, true);
    assertEquals(engines.notices, []);
    const error = assertThrows(() => engines.encode("sand and"), ModelError);
    assertStringIncludes(error.message, "use encodeBatch");
    await engines.encodeBatch(["sand and"]);
  }
  if (!native) return;
  const engines = await Engines.open("x", json({ added_tokens: [word] }), config, true);
  const [[...within], [...alone]] = await engines.encodeBatch(["sand", "s and"]);
  assert(!within.includes(380) && alone.includes(380));
});

Deno.test("what a tokenizer.json says about truncation and padding is for other uses", async () => {
  const strategy = { direction: "Right", max_length: 2, strategy: "LongestFirst", stride: 0 };
  const padding = {
    strategy: { Fixed: 99 },
    direction: "Right",
    pad_to_multiple_of: null,
    pad_id: 0,
    pad_type_id: 0,
    pad_token: "!",
  };
  const engines = await Engines.open("x", json({ truncation: strategy, padding }), config, native);
  const [ids] = await engines.encodeBatch(["one two three"]);
  assertEquals(ids, engines.knownIds("one two three"));
  assert(ids.length > 2 && ids.length < 99);
});

Deno.test("a post-processor's tokens are found, before a text and after it", async () => {
  const special = (...ids: number[]) =>
    ids.map((id) => ({ SpecialToken: { id: `<${id}>`, type_id: 0 } }));
  const template = (before: number[], after: number[]) => ({
    added_tokens: [380, 381, 382].map((id) => ({ id, content: `<${id}>`, special: true })),
    post_processor: {
      type: "TemplateProcessing",
      single: [...special(...before), { Sequence: { id: "A", type_id: 0 } }, ...special(...after)],
      pair: [],
      special_tokens: Object.fromEntries(
        [...before, ...after].map((
          id,
        ) => [`<${id}>`, { id: `<${id}>`, ids: [id], tokens: [`<${id}>`] }]),
      ),
    },
  });
  for (const [before, after] of [[[], []], [[380], []], [[380, 381], [382]], [[], [382]]]) {
    for (const wantsNative of native ? [false, true] : [false]) {
      const { prefix, suffix } = await Engines.open(
        "x",
        json(template(before, after)),
        config,
        wantsNative,
      );
      assertEquals([prefix, suffix], [before, after]);
    }
  }
  const odd = template([], []);
  const text = { Sequence: { id: "A", type_id: 0 } };
  odd.post_processor.single = [text, ...special(380), text];
  await assertRejects(
    () => Engines.open("x", json(odd), config, false),
    ModelError,
    "post_processor",
  );
});
