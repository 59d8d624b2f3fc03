/**
 * A tokenizer as a GGUF file has it: the spellings of tokens, their kinds and the merges, from the
 * `tokenizer.json` of a model's folder. Two kinds can be told: BPE that falls back to bytes
 * (SentencePiece's), and BPE of bytes (GPT-2's).
 *
 * @module
 */

import { join } from "node:path";
import { ModelError } from "../../errors.ts";
import { isJsonObject, readJson, showJson } from "../json.ts";
import { LARGEST_LIST } from "../text_file.ts";
import type { Tokenizer } from "../tokenizer.ts";
import { preTokenizerOf, stepsOf } from "./pre_tokenizers.ts";
import type { GgufValue } from "./writer.ts";

/** The kinds of tokens in a file. */
const KIND = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 };
const SPACE = "▁";
const BYTE = /^<0x[0-9A-F]{2}>$/;

/** What the files of a model say of its tokens beside tokenizer.json. */
export interface TokenFacts {
  /** The model's folder. */
  folder: string;
  tokenizer: Tokenizer;
  /** Rows of the embedding. */
  vocabSize: number;
  /** Every token that ends a text. */
  eosTokenIds: readonly number[];
}

/**
 * The keys of a tokenizer.
 *
 * @param onNotice Is told what llama.cpp does otherwise.
 * @throws {ModelError} for a tokenizer that a file cannot describe.
 * @throws {FileError} if tokenizer.json cannot be read.
 */
export async function tokenizerMetadata(
  facts: TokenFacts,
  onNotice: (notice: string) => void,
): Promise<Map<string, GgufValue>> {
  const { folder, tokenizer, vocabSize } = facts;
  const path = join(folder, "tokenizer.json");
  const json = await readJson(path, LARGEST_LIST);
  const model = isJsonObject(json) && isJsonObject(json.model) ? json.model : {};
  const fail = (what: string) =>
    new ModelError(
      `Cannot export the tokenizer in "${path}" as ${what}: a GGUF file tells BPE with byte fallback, ` +
        "and byte-level BPE that cuts texts as GPT-2, SmolLM, Llama 3, Qwen, GPT-4o, Tekken or Seed do; use the " +
        "model's folder with a tool that reads tokenizer.json",
    );
  if (!isJsonObject(json) || model.type !== "BPE" || !isJsonObject(model.vocab)) {
    throw fail(`it is ${showJson(model.type)} and not BPE`);
  }
  for (const name of ["continuing_subword_prefix", "end_of_word_suffix"]) {
    if (model[name]) throw fail(`its ${name} is ${showJson(model[name])}`);
  }
  const stripping = (Array.isArray(json.added_tokens) ? json.added_tokens : [])
    .find((added) => added.lstrip || added.rstrip);
  if (stripping) {
    onNotice(
      `${
        showJson(stripping.content)
      } takes in the white space beside it here, and not everywhere in ` +
        "llama.cpp: prompts of a chat may become other tokens than in training",
    );
  }
  const merges = readMerges(model.merges);
  const fallsBack = model.byte_fallback === true;
  const kind = fallsBack
    ? byteFallback(json, tokens(json, model, vocabSize, true), merges, fail, onNotice)
    : byteLevel(json, model, tokens(json, model, vocabSize, false), merges, fail, onNotice);
  const [ids] = await tokenizer.encodeBatch(["a"]);
  const [bos, eos] = [tokenizer.bosTokenId, tokenizer.eosTokenId];
  return new Map<string, GgufValue>([
    ...kind,
    ...specialIds(facts, model, tokenizer, onNotice),
    // Without them llama.cpp goes by the kind of the tokenizer, and adds a token that training did not.
    ["tokenizer.ggml.add_bos_token", { bool: bos !== null && ids[0] === bos }],
    ["tokenizer.ggml.add_eos_token", { bool: eos !== null && ids.at(-1) === eos }],
    ...tokenizer.chatTemplate
      ? [["tokenizer.chat_template", { string: tokenizer.chatTemplate.source }] as const]
      : [],
  ]);
}

/** The tokens of a vocabulary, as many as the embedding has rows. */
interface Tokens {
  spellings: string[];
  kinds: number[];
}

type Fail = (what: string) => ModelError;

function tokens(
  json: Record<string, unknown>,
  model: Record<string, unknown>,
  vocabSize: number,
  fallsBack: boolean,
): Tokens {
  const spellings = Array.from({ length: vocabSize }, (_, id) => `[PAD${id}]`);
  const kinds = new Array<number>(vocabSize).fill(KIND.unused);
  const set = (id: unknown, spelling: string, kind: number) => {
    // Those beyond the embedding cannot be used by the model.
    if (typeof id !== "number" || id >= vocabSize) return;
    spellings[id] = spelling;
    kinds[id] = kind;
  };
  for (const [token, id] of Object.entries(model.vocab as Record<string, unknown>)) {
    set(id, token, fallsBack && BYTE.test(token) ? KIND.byte : KIND.normal);
  }
  for (const added of Array.isArray(json.added_tokens) ? json.added_tokens : []) {
    const unknown = added.content === model.unk_token;
    const special = added.special ? KIND.control : KIND.userDefined;
    set(added.id, added.content, unknown ? KIND.unknown : special);
  }
  return { spellings, kinds };
}

function readMerges(merges: unknown): (readonly [string, string])[] {
  return (Array.isArray(merges) ? merges : []).map((merge) => {
    if (typeof merge !== "string") return merge;
    const space = merge.indexOf(" ", 1);
    return [merge.slice(0, space), merge.slice(space + 1)];
  });
}

/** SentencePiece's: llama.cpp merges by scores of pieces. */
function byteFallback(
  json: Record<string, unknown>,
  { spellings, kinds }: Tokens,
  merges: readonly (readonly [string, string])[],
  fail: Fail,
  onNotice: (notice: string) => void,
): Map<string, GgufValue> {
  const ranks = new Map<string, number>();
  for (const [rank, [left, right]] of merges.entries()) {
    const piece = left + right;
    if (!ranks.has(piece)) ranks.set(piece, rank);
  }
  // llama.cpp makes every piece that two neighbours spell; single characters need no making.
  const unmade = spellings.filter((piece, id) =>
    kinds[id] === KIND.normal && !ranks.has(piece) && [...piece].length > 1
  );
  if (unmade.length > 0) {
    onNotice(
      `${unmade.length} pieces that no merge makes, such as ${
        showJson(unmade[0])
      }, are made by llama.cpp, ` +
        "after all others: some texts may become other tokens than in training",
    );
  }
  const last = merges.length;
  const score = (piece: string) => -(ranks.get(piece) ?? ([...piece].length > 1 ? last : 0));
  return new Map<string, GgufValue>([
    ["tokenizer.ggml.model", { string: "llama" }],
    ["tokenizer.ggml.pre", { string: "default" }],
    ["tokenizer.ggml.tokens", { strings: spellings }],
    ["tokenizer.ggml.scores", { f32s: spellings.map(score) }],
    ["tokenizer.ggml.token_type", { i32s: kinds }],
    ["tokenizer.ggml.add_space_prefix", { bool: addsSpace(json, fail, onNotice) }],
  ]);
}

/** Whether a space is put before a text; spaces must become the sign for them, and nothing else. */
function addsSpace(
  json: Record<string, unknown>,
  fail: Fail,
  onNotice: (notice: string) => void,
): boolean {
  let adds = false;
  let replaces = false;
  for (const step of [...stepsOf(json.normalizer), ...stepsOf(json.pre_tokenizer)]) {
    const pattern = isJsonObject(step.pattern) ? step.pattern.String : null;
    if (step.type === "Prepend" && step.prepend === SPACE) {
      adds = true;
    } else if (step.type === "Replace" && pattern === " " && step.content === SPACE) {
      replaces = true;
    } else if (step.type === "Metaspace" && (step.replacement ?? SPACE) === SPACE) {
      const scheme = step.prepend_scheme ??
        (step.add_prefix_space === false ? "never" : "always");
      if (step.split === true) throw fail("it cuts texts at spaces");
      adds = scheme !== "never";
      replaces = true;
      if (scheme === "first") {
        onNotice(
          "llama.cpp puts a space before the text behind every special token, this tokenizer only " +
            "before the first: prompts of a chat may become other tokens",
        );
      }
      // Gemma's: no space is left that it could cut at.
    } else if (!(step.type === "Split" && pattern === " " && replaces)) {
      throw fail(`it changes texts by ${showJson(step)}`);
    }
  }
  if (!replaces) throw fail(`spaces do not become "${SPACE}"`);
  return adds;
}

/** GPT-2's: llama.cpp merges by the list of merges. */
function byteLevel(
  json: Record<string, unknown>,
  model: Record<string, unknown>,
  { spellings, kinds }: Tokens,
  merges: readonly (readonly [string, string])[],
  fail: Fail,
  onNotice: (notice: string) => void,
): Map<string, GgufValue> {
  for (const step of stepsOf(json.normalizer)) {
    if (step.type !== "NFC") throw fail(`it changes texts by ${showJson(step)}`);
    onNotice(
      "llama.cpp does not normalise texts (NFC) as this tokenizer does: letters that are written with " +
        "separate accents become other tokens",
    );
  }
  const pre = preTokenizerOf(json.pre_tokenizer, model.ignore_merges === true);
  if (pre === null) throw fail(`it cuts texts by ${showJson(json.pre_tokenizer)}`);
  if (pre.ascii) {
    onNotice(
      "llama.cpp tells capitals from small letters in ASCII only, and cuts at accents that are written as " +
        "characters of their own: words of other alphabets may become other tokens than in training",
    );
  }
  return new Map<string, GgufValue>([
    ["tokenizer.ggml.model", { string: "gpt2" }],
    ["tokenizer.ggml.pre", { string: pre.name }],
    ["tokenizer.ggml.tokens", { strings: spellings }],
    ["tokenizer.ggml.token_type", { i32s: kinds }],
    ["tokenizer.ggml.merges", { strings: merges.map((merge) => merge.join(" ")) }],
  ]);
}

function* specialIds(
  { vocabSize, eosTokenIds }: TokenFacts,
  model: Record<string, unknown>,
  { bosTokenId, eosTokenId, padTokenId }: Tokenizer,
  onNotice: (notice: string) => void,
): Iterable<readonly [string, GgufValue]> {
  const unknown = (model.vocab as Record<string, number>)[`${model.unk_token ?? ""}`] ?? null;
  const ends = [...new Set([eosTokenId, ...eosTokenIds])].filter((id) => id !== null);
  const [eos = null, turn = null, message = null, ...more] = ends;
  const ids = { bos: bosTokenId, eos, eot: turn, eom: message, unknown, padding: padTokenId };
  for (const [name, id] of Object.entries(ids)) {
    if (id !== null && id < vocabSize) yield [`tokenizer.ggml.${name}_token_id`, { u32: id }];
  }
  if (more.length > 0) {
    onNotice(
      `A GGUF file has three tokens that end a text, and this model ${ends.length}: llama.cpp may go ` +
        `on after ${more.join(", ")}`,
    );
  }
}
