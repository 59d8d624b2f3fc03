import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { DataError, FileError, ModelError, OptionError } from "../../src/errors.ts";
import { Tokenizer } from "../../src/io/tokenizer.ts";
import { shared, sharedTest, withFolder } from "../support/io.ts";

/** A byte-fallback BPE tokenizer like LLaMA's: 3 special tokens, 256 bytes, and a few pieces. */
function tokenizerJson(): Record<string, unknown> {
  const pieces = ["▁", "a", "b", "c", "ab", "▁ab", "abc"];
  const bytes = Array.from({ length: 256 }, (_, i) => {
    return `<0x${i.toString(16).toUpperCase().padStart(2, "0")}>`;
  });
  const special = ["<unk>", "<s>", "</s>"];
  const tokens = [...special, ...bytes, ...pieces];
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: special.map((content, id) => ({
      id,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    })),
    normalizer: {
      type: "Sequence",
      normalizers: [
        { type: "Prepend", prepend: "▁" },
        { type: "Replace", pattern: { String: " " }, content: "▁" },
      ],
    },
    pre_tokenizer: null,
    post_processor: {
      type: "TemplateProcessing",
      single: [
        { SpecialToken: { id: "<s>", type_id: 0 } },
        { Sequence: { id: "A", type_id: 0 } },
      ],
      pair: [],
      special_tokens: { "<s>": { id: "<s>", ids: [1], tokens: ["<s>"] } },
    },
    decoder: {
      type: "Sequence",
      decoders: [
        { type: "Replace", pattern: { String: "▁" }, content: " " },
        { type: "ByteFallback" },
        { type: "Fuse" },
        { type: "Strip", content: " ", start: 1, stop: 0 },
      ],
    },
    model: {
      type: "BPE",
      dropout: null,
      unk_token: "<unk>",
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: true,
      byte_fallback: true,
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      merges: ["a b", "▁ ab", "ab c"],
    },
  };
}

/** Runs `use` with a folder that holds a tokenizer and these files. */
async function withTokenizer(
  files: Record<string, unknown>,
  use: (folder: string) => Promise<void>,
): Promise<void> {
  await withFolder(async (folder) => {
    for (const [name, value] of Object.entries({ "tokenizer.json": tokenizerJson(), ...files })) {
      const text = typeof value === "string" ? value : JSON.stringify(value);
      await Deno.writeTextFile(`${folder}/${name}`, text);
    }
    await use(folder);
  });
}

const names = { bos_token: "<s>", eos_token: { content: "</s>" } };

Deno.test("text becomes ids and the ids the text again", () =>
  withTokenizer({ "tokenizer_config.json": names }, async (folder) => {
    const tokenizer = await Tokenizer.load(folder);
    assertEquals(tokenizer.vocabSize, 266);
    assertEquals(tokenizer.encode("abc é"), [1, 264, 262, 259, 3 + 0xc3, 3 + 0xa9]);
    assertEquals(tokenizer.encode("ab", { addSpecialTokens: false }), [264]);
    assertEquals(tokenizer.encode("", { addSpecialTokens: false }), []);
    for (const text of ["abc é", " a  b ", "ab . c , n't", "😀\n\t"]) {
      assertEquals(tokenizer.decode(tokenizer.encode(text)), text);
    }
    const ids = tokenizer.encode("a</s>");
    assertEquals(tokenizer.decode(ids), "a");
    assertEquals(tokenizer.decode(ids, { skipSpecialTokens: false }), "<s> a</s>");
    assertEquals(tokenizer.decode([]), "");
    assertEquals(tokenizer.decode([1, 2]), "");
    assertEquals(tokenizer.decode([260, 1_000_000, 261]), "ab");
  }));

Deno.test("special tokens are named by the tokenizer config, else numbered by the model config", async () => {
  await withTokenizer({ "tokenizer_config.json": names }, async (folder) => {
    const { bosTokenId, eosTokenId, padTokenId } = await Tokenizer.load(folder);
    assertEquals([bosTokenId, eosTokenId, padTokenId], [1, 2, null]);
  });
  const model = { bos_token_id: 5, eos_token_id: [6, 7], pad_token_id: -1 };
  await withTokenizer({ "config.json": model, "tokenizer_config.json": {} }, async (folder) => {
    const { bosTokenId, eosTokenId, padTokenId } = await Tokenizer.load(folder);
    assertEquals([bosTokenId, eosTokenId, padTokenId], [5, 6, null]);
  });
  await withTokenizer({}, async (folder) => {
    assertEquals((await Tokenizer.load(folder)).bosTokenId, null);
  });
});

Deno.test("a folder whose tokenizer cannot be used is refused", async () => {
  const cases: [Record<string, unknown>, new (message: string) => Error, string][] = [
    [{ "tokenizer.json": "{" }, FileError, "as JSON"],
    [{ "tokenizer.json": {} }, ModelError, "Cannot use the tokenizer in"],
    [{ "tokenizer.json": null }, ModelError, "Cannot use the tokenizer in"],
    [
      { "tokenizer.json": { ...tokenizerJson(), decoder: { type: "Novel" } } },
      ModelError,
      "Unknown Decoder type: Novel",
    ],
    [{ "tokenizer_config.json": "[]" }, ModelError, "must be a JSON object"],
    [{ "tokenizer_config.json": { bos_token: "<none>" } }, ModelError, "a token of the vocabulary"],
    [{ "tokenizer_config.json": { bos_token: 1 } }, ModelError, "must be a JSON object: found 1"],
    [{ "chat_template.jinja": "{% if %}" }, ModelError, "Cannot use the chat template"],
    [{ "tokenizer_config.json": { chat_template: [{ name: "x" }] } }, ModelError, "named default"],
  ];
  for (const [files, type, message] of cases) {
    await withTokenizer(files, async (folder) => {
      await assertRejects(() => Tokenizer.load(folder), type, message);
    });
  }
  await assertRejects(() => Tokenizer.load("/nowhere"), FileError, 'Cannot find "/nowhere/tok');
});

Deno.test("what a tokenizer of whole words does not know is its unknown token, or refused", async () => {
  const json = (unknown: object) => ({
    version: "1.0",
    added_tokens: [],
    pre_tokenizer: { type: "WhitespaceSplit" },
    normalizer: null,
    post_processor: null,
    decoder: null,
    model: { type: "WordLevel", vocab: { one: 0, two: 1, "[UNK]": 2 }, ...unknown },
  });
  await withTokenizer({ "tokenizer.json": json({ unk_token: "[UNK]" }) }, async (folder) => {
    assertEquals((await Tokenizer.load(folder)).encode("one three two"), [0, 2, 1]);
  });
  await withTokenizer({ "tokenizer.json": json({}) }, async (folder) => {
    const tokenizer = await Tokenizer.load(folder);
    assertEquals(tokenizer.encode("two one"), [1, 0]);
    assertThrows(() => tokenizer.encode("one three"), DataError, 'Cannot tokenise "one three"');
  });
});

Deno.test("a stream gives the text piece by piece, whole characters only", () =>
  withTokenizer({}, async (folder) => {
    const tokenizer = await Tokenizer.load(folder);
    const text = "ab  é😀 abc你好\n";
    const ids = tokenizer.encode(text);
    const stream = tokenizer.stream();
    const pieces = ids.map((id) => stream.push(id));
    assertEquals(pieces.join("") + stream.end(), text);
    assert(pieces.every((piece) => !piece.includes("\uFFFD")));
    assert(pieces.includes("😀") && pieces.includes("é") && pieces.includes(" "));
  }));

Deno.test("a stream keeps the space of a word that follows its context", () =>
  withTokenizer({}, async (folder) => {
    const tokenizer = await Tokenizer.load(folder);
    const ids = tokenizer.encode("abc é", { addSpecialTokens: false });
    for (const [context, text] of [[[], "ab"], [ids, " ab"], [[1], "ab"]] as const) {
      const stream = tokenizer.stream(context);
      assertEquals(stream.push(264) + stream.push(2), text);
    }
  }));

Deno.test("a stream that ends within a character shows that it is cut", () =>
  withTokenizer({}, async (folder) => {
    const stream = (await Tokenizer.load(folder)).stream();
    assertEquals([stream.push(260), stream.push(3 + 0xc3), stream.push(3 + 0xff)], ["a", "", ""]);
    assertEquals(stream.push(261), "\uFFFD\uFFFDb");
    assertEquals(stream.push(3 + 0xf0), "");
    assertEquals([stream.end(), stream.end()], ["\uFFFD", ""]);
  }));

const template = "{{ bos_token }}{% for m in messages %}[{{ m.role }}]{{ m.content }}" +
  "{{ eos_token }}{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}";
const messages = [{ role: "user", content: "hi" }, { role: "assistant", content: "yes" }];

Deno.test("a chat template is found in either place and rendered", async () => {
  const places: Record<string, unknown>[] = [
    { "chat_template.jinja": template, "tokenizer_config.json": { ...names, chat_template: "x" } },
    { "tokenizer_config.json": { ...names, chat_template: template } },
    {
      "tokenizer_config.json": {
        ...names,
        chat_template: [{ name: "tools", template: "x" }, { name: "default", template }],
      },
    },
  ];
  for (const files of places) {
    await withTokenizer(files, async (folder) => {
      const { chatTemplate } = await Tokenizer.load(folder);
      assertEquals(chatTemplate?.render(messages), "<s>[user]hi</s>[assistant]yes</s>");
      const prompt = chatTemplate?.render(messages.slice(0, 1), { addGenerationPrompt: true });
      assertEquals(prompt, "<s>[user]hi</s>[assistant]");
    });
  }
  await withTokenizer({}, async (folder) => {
    assertEquals((await Tokenizer.load(folder)).chatTemplate, null);
  });
});

Deno.test("a rendered conversation is begun once, and a prompt is not ended", async () => {
  const post = (single: unknown[]) => ({ ...tokenizerJson().post_processor as object, single });
  const [bos, eos] = [1, 2].map((id) => ({
    SpecialToken: { id: ["", "<s>", "</s>"][id], type_id: 0 },
  }));
  const text = { Sequence: { id: "A", type_id: 0 } };
  const both = {
    ...tokenizerJson(),
    post_processor: {
      ...post([bos, text, eos]),
      special_tokens: {
        "<s>": { id: "<s>", ids: [1], tokens: ["<s>"] },
        "</s>": { id: "</s>", ids: [2], tokens: ["</s>"] },
      },
    },
  };
  for (const native of [true, false]) {
    await withTokenizer({}, async (folder) => {
      const tokenizer = await Tokenizer.load(folder, { native });
      assertEquals(tokenizer.encode("<s>ab"), [1, 264]);
      assertEquals(await tokenizer.encodeBatch(["<s>ab", "ab", ""]), [[1, 264], [1, 264], [1]]);
      assertEquals(await tokenizer.encodePrompt("<s>ab"), [1, 264]);
    });
    await withTokenizer(
      { "tokenizer.json": { ...tokenizerJson(), post_processor: null } },
      async (folder) => {
        const tokenizer = await Tokenizer.load(folder, { native });
        assertEquals([tokenizer.encode("ab"), await tokenizer.encodePrompt("ab")], [[264], [264]]);
      },
    );
    await withTokenizer({ "tokenizer.json": both }, async (folder) => {
      const tokenizer = await Tokenizer.load(folder, { native });
      assertEquals(tokenizer.encode("ab"), [1, 264, 2]);
      assertEquals(tokenizer.encode("ab</s>"), [1, 264, 2]);
      assertEquals(await tokenizer.encodePrompt("ab"), [1, 264], "it is to be continued");
      assertEquals(tokenizer.around([264, 2]), { before: [1], after: [] });
    });
  }
});

Deno.test("a text ends with the tokenizer's token and an answer with the template's", async () => {
  const added = (tokenizerJson().added_tokens as Record<string, unknown>[]).concat(
    { id: 266, content: "<|end|>", special: true },
    { id: 267, content: "<|user|>", special: true },
    { id: 268, content: "<|assistant|>", special: true },
  );
  const json = { ...tokenizerJson(), added_tokens: added };
  const files = { "tokenizer.json": json, "tokenizer_config.json": names };
  await withTokenizer(files, async (folder) => {
    const ends = async (chatTemplate?: string) =>
      (await Tokenizer.load(folder, { chatTemplate })).endTokenIds;
    assertEquals(await ends(), [2]);
    assertEquals(await ends("phi4-mini"), [2, 266]);
    assertEquals(await ends("zephyr"), [2]);
    await Deno.writeTextFile(
      `${folder}/own.jinja`,
      "{% for m in messages %}{{ m.content }}<|user|>{% endfor %}",
    );
    assertEquals(await ends(`${folder}/own.jinja`), [2, 267]);
    const error = await assertRejects(() => ends("chatml"), OptionError);
    assertStringIncludes(
      error.message,
      "Cannot use the chat template chatml as the tokenizer has no token <|im_start|>, <|im_end|>: choose llama2, phi3, phi4-mini, zephyr, alpaca or a Jinja file",
    );
    await assertRejects(
      () => ends("chatlm"),
      OptionError,
      "no such file, and none of that name: choose chatml,",
    );
  });
});

Deno.test("a template that refuses its messages says why", () =>
  withTokenizer({ "chat_template.jinja": "{{ raise_exception('no turns') }}" }, async (folder) => {
    const { chatTemplate } = await Tokenizer.load(folder);
    assertThrows(() => chatTemplate!.render(messages), DataError, 'says "no turns"');
  }));

sharedTest("real tokenizers give the ids of Hugging Face's own, and the text back", async () => {
  // Printed by the Python package tokenizers 0.23.
  const expected = {
    "stories260K": "1 403 407 261 378 432 280 412 431 485 410 243 162 155 131",
    "babyllama-0.97M": "1 259 290 265 278 260 259 274 276 263 265 259 261 259 262 266 272 260 " +
      "281 259 278 261 280 334 259 243 162 155 131",
  };
  const stories = await Deno.readTextFile(`${shared}data/tinystories_1MB.txt`);
  for (const name of ["stories260K", "babyllama-0.97M"] as const) {
    const tokenizer = await Tokenizer.load(`${shared}models/${name}`);
    assertEquals([tokenizer.bosTokenId, tokenizer.eosTokenId, tokenizer.padTokenId], [
      1,
      2,
      null,
    ]);
    assertEquals(tokenizer.encode("Once upon a time, café 😀").join(" "), expected[name]);
    const texts = stories.split("<|endoftext|>").slice(0, 50);
    for (const text of texts) {
      const ids = tokenizer.encode(text);
      assertEquals(tokenizer.decode(ids), text);
      const stream = tokenizer.stream();
      assertEquals(ids.map((id) => stream.push(id)).join("") + stream.end(), text);
    }
  }
});
