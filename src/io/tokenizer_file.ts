/**
 * Checks of a tokenizer.json before a library has it: ids, tokens, merges, and what texts go through.
 *
 * @module
 */

import { ModelError } from "../errors.ts";
import { isJsonObject, showJson } from "./json.ts";
import { expectPart, PARTS, stepsOf } from "./tokenizer_fields.ts";

type Json = Record<string, unknown>;

/** The longest token that was added to a vocabulary, and affix of tokens, in characters. */
const LONGEST_TOKEN = 4096;
const LONGEST_AFFIX = 64;
/** The longest word that is looked for piece by piece, which takes the square of its length. */
const LONGEST_WORD = 10_000;
/** Ids may have gaps; one far beyond the number of tokens is none, and a list up to it fills the memory. */
const IDS_PER_TOKEN = 16;
const SPARE_IDS = 1 << 16;
/** Characters of all tokens of a Unigram model, whose trie takes a hundred bytes for each. */
const MOST_CHARACTERS = 1 << 24;

const TRUTHS = ["fuse_unk", "byte_fallback", "ignore_merges"];
const AFFIXES = ["continuing_subword_prefix", "continuing_subword_suffix", "end_of_word_suffix"];

/**
 * Makes sure that a tokenizer.json is one that the libraries can use, and fills in what they need and it
 * leaves out.
 *
 * @param path Names the file in errors.
 * @returns The file's content.
 * @throws {ModelError} naming the field that is in the way.
 */
export function checkedTokenizer(json: unknown, path: string): Json {
  try {
    if (!isJsonObject(json)) throw new Error(`it must be an object: found ${showJson(json)}`);
    const added = json.added_tokens ?? [];
    const vocabulary = checkedModel(json.model);
    checkAdded(added, vocabulary);
    checkLargest(vocabulary);
    for (const name of Object.keys(PARTS)) expectPart(json[name], name);
    checkTemplates(json.post_processor, vocabulary);
    const parts = Object.fromEntries(Object.keys(PARTS).map((name) => [name, json[name] ?? null]));
    return { ...json, ...parts, added_tokens: added };
  } catch (error) {
    throw new ModelError(
      `Cannot use the tokenizer in "${path}": ${(error as Error).message}; save it again with a ` +
        "current version of transformers",
      { cause: error },
    );
  }
}

/** Ids by their tokens. */
type Vocabulary = Map<string, number>;

function checkedModel(model: unknown): Vocabulary {
  if (!isJsonObject(model)) throw new Error(`model must be an object: found ${showJson(model)}`);
  const { type, vocab } = model;
  if (type !== undefined && typeof type !== "string") {
    throw new Error(`type of model must be a name: found ${showJson(type)}`);
  }
  for (const name of TRUTHS) {
    const value = model[name] ?? false;
    if (typeof value !== "boolean") throw wrong(name, "true or false", value);
  }
  for (const name of AFFIXES) {
    const value = model[name] ?? "";
    if (typeof value !== "string" || value.length > LONGEST_AFFIX) {
      throw wrong(name, `a text of up to ${LONGEST_AFFIX} characters`, value);
    }
  }
  const { max_input_chars_per_word: longest = null } = model;
  const isLength = Number.isSafeInteger(longest) && (longest as number) > 0 &&
    (longest as number) <= LONGEST_WORD;
  if (longest !== null && !isLength) {
    throw wrong("max_input_chars_per_word", `a whole number from 1 to ${LONGEST_WORD}`, longest);
  }
  const unknown = model.unk_token ?? "";
  if (typeof unknown !== "string") throw wrong("unk_token", "a token", unknown);
  if (Array.isArray(vocab)) return scoredTokens(model, vocab);
  if (!isJsonObject(vocab)) throw wrong("vocab", "an object of ids by token", vocab);
  const vocabulary = new Map<string, number>();
  const tokens = new Map<number, string>();
  for (const [token, id] of Object.entries(vocab)) {
    expectId(id, token);
    if (tokens.has(id)) throw twice(id, tokens.get(id)!, token);
    tokens.set(id, token);
    vocabulary.set(token, id);
  }
  if (type === "BPE" || model.merges !== undefined) checkMerges(model, vocabulary);
  return vocabulary;
}

/** The tokens of a Unigram model, each with its score; an id is a place in the list. */
function scoredTokens(model: Json, vocab: unknown[]): Vocabulary {
  const vocabulary = new Map<string, number>();
  let characters = 0;
  for (const [id, entry] of vocab.entries()) {
    const isEntry = Array.isArray(entry) && typeof entry[0] === "string" &&
      Number.isFinite(entry[1]);
    if (!isEntry) throw wrong(`vocab[${id}]`, "a token and its score", entry);
    vocabulary.set(entry[0], id);
    characters += entry[0].length;
  }
  if (vocab.length === 0) throw wrong("vocab", "a list of tokens and scores", vocab);
  if (characters > MOST_CHARACTERS) {
    throw new Error(
      `its tokens have ${characters} characters, and ${MOST_CHARACTERS} are the most`,
    );
  }
  const unknown = model.unk_id ?? 0;
  const isKnown = Number.isSafeInteger(unknown) && (unknown as number) >= 0 &&
    (unknown as number) < vocab.length;
  if (!isKnown) throw wrong("unk_id", `a place in vocab, below ${vocab.length}`, unknown);
  return vocabulary;
}

function checkMerges({ merges, ...model }: Json, vocabulary: Vocabulary): void {
  if (!Array.isArray(merges)) throw wrong("merges", "a list of pairs of tokens", merges);
  const prefix = (model.continuing_subword_prefix ?? "") as string;
  const isText = typeof merges[0] === "string";
  for (const merge of merges) {
    const pair: unknown = typeof merge === "string" ? merge.split(" ") : merge;
    const isPair = Array.isArray(pair) && pair.length === 2 &&
      isText === (typeof merge === "string") &&
      typeof pair[0] === "string" && typeof pair[1] === "string";
    if (!isPair) throw wrong("merges", "a list of pairs of tokens", merge);
    const [left, right] = pair;
    // The native library cuts the prefix off without looking whether it is there.
    if (!right.startsWith(prefix)) {
      throw wrong("merges", `pairs whose second token begins with ${showJson(prefix)}`, merge);
    }
    const whole = left + right.slice(prefix.length);
    const missing = [left, right, whole].find((token) => !vocabulary.has(token));
    if (missing !== undefined) {
      throw new Error(
        `the merge ${showJson(merge)} needs the token ${showJson(missing)}, which is not in vocab`,
      );
    }
  }
}

function checkAdded(added: unknown, vocabulary: Vocabulary): void {
  if (!Array.isArray(added)) throw wrong("added_tokens", "a list of tokens", added);
  const tokens = new Map([...vocabulary].map(([token, id]) => [id, token]));
  for (const entry of added) {
    if (!isJsonObject(entry)) throw wrong("added_tokens", "a list of objects", entry);
    const { id, content } = entry;
    if (typeof content !== "string" || content.length > LONGEST_TOKEN) {
      throw wrong(
        "content in added_tokens",
        `a text of up to ${LONGEST_TOKEN} characters`,
        content,
      );
    }
    expectId(id, content);
    for (const name of ["single_word", "lstrip", "rstrip", "normalized", "special"]) {
      const value = entry[name] ?? false;
      if (typeof value !== "boolean") {
        throw wrong(`${name} in added_tokens`, "true or false", value);
      }
    }
    const other = tokens.get(id);
    if (other !== undefined && other !== content) throw twice(id, other, content);
    const known = vocabulary.get(content);
    if (known !== undefined && known !== id) {
      throw new Error(`the token ${showJson(content)} has two ids, ${known} and ${id}`);
    }
    tokens.set(id, content);
    vocabulary.set(content, id);
  }
}

function checkLargest(vocabulary: Vocabulary): void {
  if (vocabulary.size === 0) throw new Error("it has no tokens");
  const limit = IDS_PER_TOKEN * vocabulary.size + SPARE_IDS;
  for (const [token, id] of vocabulary) {
    if (id < limit) continue;
    throw new Error(
      `the token ${
        showJson(token)
      } has the id ${id}, and the file has ${vocabulary.size} tokens, so ` +
        `ids must be below ${limit}`,
    );
  }
}

/** Templates that put special tokens around a text: items, and the tokens that they name. */
function checkTemplates(processor: unknown, vocabulary: Vocabulary): void {
  const ids = new Set(vocabulary.values());
  for (const step of stepsOf(processor, "post_processor")) {
    if (step.type !== "TemplateProcessing") continue;
    const named = step.special_tokens ?? {};
    if (!isJsonObject(named)) throw wrong("special_tokens", "an object of tokens", named);
    for (const [token, entry] of Object.entries(named)) {
      const list = isJsonObject(entry) ? entry.ids : undefined;
      const isKnown = Array.isArray(list) && list.every((id) => ids.has(id));
      if (!isKnown) throw wrong(`${showJson(token)} in special_tokens`, "ids of tokens", entry);
    }
    for (const name of ["single", "pair"]) {
      const items = step[name] ?? [];
      if (!Array.isArray(items) || items.length > 100) throw wrong(name, "a list of pieces", items);
      for (const item of items) checkItem(item, named);
    }
  }
}

function checkItem(item: unknown, named: Json): void {
  const { SpecialToken: token, Sequence: sequence } = isJsonObject(item) ? item : {};
  const isSequence = isJsonObject(sequence) && (sequence.id === "A" || sequence.id === "B");
  const isToken = isJsonObject(token) && typeof token.id === "string" &&
    Object.hasOwn(named, token.id);
  if (isSequence === isToken) {
    throw wrong("post_processor", "a template of sequences and of tokens in special_tokens", item);
  }
}

function expectId(id: unknown, token: string): asserts id is number {
  if (Number.isSafeInteger(id) && (id as number) >= 0) return;
  throw new Error(
    `the id of the token ${showJson(token)} must be a whole number of at least 0: found ${
      showJson(id)
    }`,
  );
}

function twice(id: number, token: string, other: string): Error {
  return new Error(`the tokens ${showJson(token)} and ${showJson(other)} have the same id, ${id}`);
}

function wrong(name: string, wanted: string, found: unknown): Error {
  return new Error(`${name} must be ${wanted}: found ${showJson(found)}`);
}
