/**
 * Tokenizers of all makes that the libraries know, small and whole, and what is done with one: for the targets of
 * `tokenizer.json`.
 *
 * @module
 */

import { isJsonObject, JsonFields } from "../../../src/io/json.ts";
import { Engines } from "../../../src/io/tokenizer_engines.ts";
import { mutateJson } from "../frame/mutate_json.ts";
import { mutateText } from "../frame/mutate_text.ts";
import type { FuzzRandom } from "../frame/random.ts";
import { Nonsense } from "../frame/target.ts";
import { PATTERN_PIECES, PATTERNS } from "./patterns.ts";

type Json = Record<string, unknown>;

const TOKENS = [
  ...["<unk>", "<s>", "</s>", "a", "b", "c", "t", "h", "e", "▁", "Ġ", "!", "1", "##b", "##a"],
  ...["ab", "th", "the", "▁the", "Ġthe", "▁▁", "Ċ", "<0x0A>", "<0xE2>", "Ã", "©", "[UNK]"],
];

function added(content: string, id: number, fields: Json = {}): Json {
  const flags = { single_word: false, lstrip: false, rstrip: false, normalized: false };
  return { id, content, ...flags, special: true, ...fields };
}

function file(fields: Json, model: Json = {}): Json {
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: [added("<s>", 1), added("<|end|>", TOKENS.length, { lstrip: true })],
    normalizer: null,
    pre_tokenizer: null,
    post_processor: null,
    decoder: null,
    ...fields,
    model: {
      type: "BPE",
      dropout: null,
      unk_token: "<unk>",
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab: Object.fromEntries(TOKENS.map((token, id) => [token, id])),
      merges: [["t", "h"], ["th", "e"], ["▁", "the"], ["Ġ", "the"], ["a", "b"], ["▁", "▁"]],
      ...model,
    },
  };
}

const SPLIT = String
  .raw`(?i:'s|'t)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`;
const BYTES = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true };
const SPACES = { type: "Metaspace", replacement: "▁", prepend_scheme: "first", split: true };
const ofString = (text: string) => ({ String: text });
const template = {
  type: "TemplateProcessing",
  single: [{ SpecialToken: { id: "<s>", type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }],
  pair: [{ Sequence: { id: "A", type_id: 0 } }, { Sequence: { id: "B", type_id: 1 } }],
  special_tokens: { "<s>": { id: "<s>", ids: [1], tokens: ["<s>"] } },
};
/** A trie that writes "b" for "a". */
function charsmap(): string {
  const units = new Uint32Array(512);
  units[0] = 256 << 10;
  units[353] = 97 | 1 << 8 | 481 << 10;
  const bytes = [0, 8, 0, 0, ...new Uint8Array(units.buffer), 98, 0];
  return btoa(String.fromCharCode(...bytes));
}

/** Whole files: of LLaMA's make, of GPT-2's, of LLaMA 3's, of Gemma's, of whole words, and of Unigram. */
export const TOKENIZERS: readonly Json[] = [
  file({
    normalizer: {
      type: "Sequence",
      normalizers: [
        { type: "Prepend", prepend: "▁" },
        { type: "Replace", pattern: ofString(" "), content: "▁" },
      ],
    },
    post_processor: template,
    decoder: {
      type: "Sequence",
      decoders: [
        { type: "Replace", pattern: ofString("▁"), content: " " },
        { type: "ByteFallback" },
        { type: "Fuse" },
        { type: "Strip", content: " ", start: 1, stop: 0 },
      ],
    },
  }, { byte_fallback: true, fuse_unk: true }),
  file({ pre_tokenizer: BYTES, decoder: BYTES, post_processor: BYTES }, {
    unk_token: null,
    merges: ["t h", "th e", "Ġ the"],
  }),
  file({
    normalizer: { type: "NFC" },
    pre_tokenizer: {
      type: "Sequence",
      pretokenizers: [
        { type: "Split", pattern: { Regex: SPLIT }, behavior: "Isolated", invert: false },
        { ...BYTES, use_regex: false },
      ],
    },
    decoder: BYTES,
    post_processor: { type: "Sequence", processors: [BYTES, template] },
  }, { ignore_merges: true, continuing_subword_prefix: "", end_of_word_suffix: "" }),
  file({
    normalizer: { type: "Replace", pattern: { Regex: " {2,}" }, content: "▁" },
    pre_tokenizer: {
      type: "Split",
      pattern: ofString(" "),
      behavior: "MergedWithPrevious",
      invert: false,
    },
    decoder: SPACES,
  }),
  file({
    normalizer: {
      type: "BertNormalizer",
      clean_text: true,
      handle_chinese_chars: true,
      strip_accents: null,
      lowercase: true,
    },
    pre_tokenizer: { type: "BertPreTokenizer" },
    post_processor: { type: "BertProcessing", sep: ["</s>", 2], cls: ["<s>", 1] },
    decoder: { type: "WordPiece", prefix: "##", cleanup: true },
  }, {
    type: "WordPiece",
    unk_token: "[UNK]",
    continuing_subword_prefix: "##",
    max_input_chars_per_word: 100,
    merges: undefined,
  }),
  file({
    pre_tokenizer: {
      type: "Sequence",
      pretokenizers: [
        { type: "WhitespaceSplit" },
        { type: "Punctuation", behavior: "Isolated" },
        { type: "Digits", individual_digits: true },
        { type: "FixedLength", length: 5 },
      ],
    },
    decoder: { type: "BPEDecoder", suffix: "</w>" },
  }, { type: "WordLevel", unk_token: "<unk>" }),
  file({
    added_tokens: [added("<s>", 1)],
    normalizer: {
      type: "Sequence",
      normalizers: [
        { type: "Precompiled", precompiled_charsmap: charsmap() },
        { type: "Strip", strip_left: false, strip_right: true },
        { type: "Lowercase" },
      ],
    },
    pre_tokenizer: SPACES,
    decoder: SPACES,
  }, {
    type: "Unigram",
    vocab: TOKENS.map((token, id) => [token, -id / 2]),
    unk_id: 0,
    merges: undefined,
  }),
].map((seed) => JSON.parse(JSON.stringify(seed)));

const TEXTS = [
  "the the  a b\n\n1234 !",
  "",
  " é ☃ 中文 <s>the</s><|end|> x",
  "a".repeat(300) + " ".repeat(300) + "!",
  "ab'S ab\u0000\t\r\n",
  "the ".repeat(50) + "1".repeat(200),
];
const config = new JsonFields({}, "tokenizer_config.json");

/** One of the files, changed; some with a regular expression that nobody wrote in place of theirs. */
export function mutateTokenizer(random: FuzzRandom): unknown {
  const json = mutateJson(random, TOKENIZERS);
  if (!random.chance(0.2)) return json;
  const Regex = mutateText(random, PATTERNS, PATTERN_PIECES);
  return JSON.parse(
    JSON.stringify(json),
    (key, value) => key === "pattern" && isJsonObject(value) ? { Regex } : value,
  );
}

/**
 * Opens a file, encodes texts with it, and decodes what came of them.
 *
 * @throws {Nonsense} if ids are none, or a text grows out of proportion.
 */
export async function tryTokenizer(json: unknown, native: boolean): Promise<void> {
  const engines = await Engines.open("tokenizer.json", json, config, native);
  const { javascript, prefix, suffix } = engines;
  let refused: unknown;
  for (const text of TEXTS) {
    let ids: number[];
    try {
      [ids] = await engines.encodeBatch([text]);
    } catch (error) {
      refused = error;
      continue;
    }
    for (const id of [...ids, ...prefix, ...suffix]) {
      if (!Number.isSafeInteger(id) || id < 0) throw new Nonsense(`an id is ${id}`);
      if (javascript.id_to_token(id) === undefined) throw new Nonsense(`${id} has no token`);
    }
    if (ids.length > 100 * (text.length + 10)) throw new Nonsense(`${ids.length} ids`);
    const known = [...ids];
    if (known.length === 0) continue;
    const decoded = engines.decode(known, true);
    if (typeof decoded !== "string") throw new Nonsense(`it is decoded as ${decoded}`);
    if (decoded.length > 5000 * (ids.length + 1)) throw new Nonsense("the text is far too long");
  }
  if (refused !== undefined) throw refused;
}
