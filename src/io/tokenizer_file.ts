/**
 * Checks of a tokenizer.json before a library has it: ids, tokens, merges, and what texts go through.
 *
 * @module
 */

import { ModelError } from "../errors.ts";
import { isJsonObject, showJson } from "./json.ts";
import { expectPart, PARTS, stepsOf } from "./tokenizer_fields.ts";

type Json = Record<string, unknown>;

const REMEDY = "save it again with a current version of transformers";

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
    checkIds(vocabulary);
    for (const name of Object.keys(PARTS)) expectPart(json[name], name);
    checkTemplates(json.post_processor, vocabulary);
    const parts = Object.fromEntries(Object.keys(PARTS).map((name) => [name, json[name] ?? null]));
    return { ...json, ...parts, added_tokens: added };
  } catch (error) {
    throw new ModelError(
      `Cannot use the tokenizer in "${path}": ${(error as Error).message}; ${REMEDY}`,
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
  for (const token of Object.keys(vocab)) {
    const id = vocab[token];
    expectId(id, token);
    vocabulary.set(token, id);
  }
  if (type === "BPE" || model.merges !== undefined) checkMerges(model);
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

function checkMerges({ merges, ...model }: Json): void {
  if (!Array.isArray(merges)) throw wrong("merges", "a list of pairs of tokens", merges);
  const prefix = (model.continuing_subword_prefix ?? "") as string;
  const isText = typeof merges[0] === "string";
  for (const merge of merges) {
    const isPair = isText
      ? typeof merge === "string" && merge.indexOf(" ") === merge.lastIndexOf(" ") &&
        merge.includes(" ")
      : Array.isArray(merge) && merge.length === 2 && typeof merge[0] === "string" &&
        typeof merge[1] === "string";
    if (!isPair) throw wrong("merges", "a list of pairs of tokens", merge);
    if (prefix === "") continue;
    // The native library cuts the prefix off without looking whether it is there.
    const right: string = isText ? merge.split(" ")[1] : merge[1];
    if (!right.startsWith(prefix)) {
      throw wrong("merges", `pairs whose second token begins with ${showJson(prefix)}`, merge);
    }
  }
}

/**
 * Makes sure that merges are of tokens that there are. The native library checks that too, but ends the
 * process where what they make is longer than any token.
 *
 * @param json What {@linkcode checkedTokenizer} gave.
 * @throws {ModelError} naming the merge.
 */
export function expectMerges(json: Json, path: string): void {
  const model = json.model as Json;
  if (!Array.isArray(model.merges) || Array.isArray(model.vocab)) return;
  const prefix = (model.continuing_subword_prefix ?? "") as string;
  const has = (token: string) => Object.hasOwn(model.vocab as Json, token);
  for (const merge of model.merges) {
    const [left, right]: string[] = typeof merge === "string" ? merge.split(" ") : merge;
    const whole = left + (prefix === "" ? right : right.slice(prefix.length));
    if (has(left) && has(right) && has(whole)) continue;
    const missing = [left, right, whole].find((token) => !has(token));
    throw new ModelError(
      `Cannot use the tokenizer in "${path}": the merge ${showJson(merge)} needs the token ` +
        `${showJson(missing)}, which is not in vocab; ${REMEDY}`,
    );
  }
}

/**
 * Tokens beside those of the model. The native library does not read their ids: it counts on from the
 * number of tokens, so a file that says otherwise would be encoded and decoded by other ids.
 */
function checkAdded(added: unknown, vocabulary: Vocabulary): void {
  if (!Array.isArray(added)) throw wrong("added_tokens", "a list of tokens", added);
  const { size } = vocabulary;
  let largest = -1;
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
    const known = vocabulary.get(content);
    if (known !== undefined && known !== id) {
      throw new Error(`the token ${showJson(content)} has two ids, ${known} and ${id}`);
    }
    if (content === "") continue;
    const next = largest >= size ? largest + 1 : size;
    if (known === undefined && id !== next) {
      throw new Error(
        `the token ${showJson(content)} in added_tokens has the id ${id}, and libraries give it ` +
          `${next}, as they count on from the tokens before it`,
      );
    }
    largest = Math.max(largest, id);
    vocabulary.set(content, id);
  }
}

/** Makes sure that each id is that of one token, and none is far beyond the others. */
function checkIds(vocabulary: Vocabulary): void {
  if (vocabulary.size === 0) throw new Error("it has no tokens");
  const limit = IDS_PER_TOKEN * vocabulary.size + SPARE_IDS;
  const isTaken = new Uint8Array(limit);
  for (const [token, id] of vocabulary) {
    if (id >= limit) {
      throw new Error(
        `the token ${
          showJson(token)
        } has the id ${id}, and the file has ${vocabulary.size} tokens, ` +
          `so ids must be below ${limit}`,
      );
    }
    if (isTaken[id] === 1) {
      const [other] = [...vocabulary].find(([, taken]) => taken === id)!;
      throw new Error(
        `the tokens ${showJson(other)} and ${showJson(token)} have the same id, ${id}`,
      );
    }
    isTaken[id] = 1;
  }
}

/** What puts special tokens around a text: templates and their items, and pairs of a token and its id. */
function checkTemplates(processor: unknown, vocabulary: Vocabulary): void {
  for (const step of stepsOf(processor, "post_processor")) {
    for (const name of ["sep", "cls"]) {
      const [token, id] = Array.isArray(step[name]) ? step[name] : [];
      if (token !== undefined && vocabulary.get(token) !== id) {
        throw wrong(`${name} in post_processor`, "a token and its id in vocab", step[name]);
      }
    }
    if (step.type !== "TemplateProcessing") continue;
    const named = step.special_tokens ?? {};
    if (!isJsonObject(named)) throw wrong("special_tokens", "an object of tokens", named);
    for (const [token, entry] of Object.entries(named)) {
      const { ids, tokens = [token] } = isJsonObject(entry) ? entry : {};
      const isKnown = Array.isArray(ids) && Array.isArray(tokens) && ids.length === tokens.length &&
        ids.every((id, i) => id !== undefined && vocabulary.get(tokens[i]) === id);
      if (!isKnown) {
        throw wrong(`${showJson(token)} in special_tokens`, "tokens and their ids in vocab", entry);
      }
    }
    for (const name of ["single", "pair"]) {
      const items = name === "pair" ? step.pair ?? [] : step.single;
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

function wrong(name: string, wanted: string, found: unknown): Error {
  return new Error(`${name} must be ${wanted}: found ${showJson(found)}`);
}
