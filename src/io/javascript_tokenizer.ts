/**
 * What the JavaScript tokenizer library does in another way than the Rust library, for which every
 * tokenizer.json is made: what can be said in a way that both understand is rewritten, and the rest
 * is named.
 *
 * @module
 */

import { isJsonObject } from "./json.ts";

type Json = Record<string, unknown>;

/** A tokenizer.json for the JavaScript library. */
export interface Rewritten {
  /** The file's content. */
  json: unknown;
  /** What the library gets wrong in it, in a few words each. */
  unsupported: string[];
}

/** Any character: JavaScript's dot leaves line feeds out. */
const ANY = "[\\s\\S]";
/** What Rust's library takes for punctuation: Unicode's, and ASCII's symbols. */
const PUNCTUATION = "[\\p{P}$+<=>^`|~]";
const KNOWN_NORMALIZERS = [
  "Prepend",
  "Replace",
  "NFC",
  "NFD",
  "NFKC",
  "NFKD",
  "Lowercase",
  "Strip",
];

/** Rewrites a tokenizer.json for the JavaScript library. */
export function forJavaScript(json: unknown): Rewritten {
  const unsupported: string[] = [];
  if (!isJsonObject(json)) return { json, unsupported };
  for (const { type } of parts(json.normalizer, "normalizers")) {
    if (!KNOWN_NORMALIZERS.includes(String(type))) unsupported.push(`the normalizer ${type}`);
  }
  const steps = parts(json.pre_tokenizer, "pretokenizers")
    .flatMap((step) => preTokenizer(step, unsupported));
  const model = isJsonObject(json.model) ? json.model : {};
  if (!["BPE", "WordLevel", undefined].includes(model.type as string | undefined)) {
    unsupported.push(`the model type ${model.type}`);
  }
  if (model.continuing_subword_prefix) unsupported.push("continuing_subword_prefix");
  const isByteLevel = steps.some(({ type }) => type === "ByteLevel");
  if (model.type === "BPE" && !model.unk_token && !model.byte_fallback && !isByteLevel) {
    unsupported.push("characters without a token");
  }
  if (model.dropout) unsupported.push("dropout");
  const added = Array.isArray(json.added_tokens) ? json.added_tokens : [];
  const single = added.find((token) => isJsonObject(token) && token.single_word === true);
  if (single) unsupported.push(`the token ${single.content} with single_word`);
  if (steps.length === 0 && hasWordsApart(json, model)) {
    // The whole text is one word otherwise, for which the library takes gigabytes where it is long.
    steps.push(matches(`${SPACE}*[^${SPACE}]+|${SPACE}+`));
  }
  const pretokenizer = steps.length === 0
    ? json.pre_tokenizer
    : { type: "Sequence", pretokenizers: steps };
  const [normalizer, decoder] = [literally(json.normalizer), literally(json.decoder)];
  return { json: { ...json, normalizer, decoder, pre_tokenizer: pretokenizer }, unsupported };
}

/** What sentencepiece writes for a space. */
const SPACE = "\u2581";

/** Whether a text without a pre-tokenizer has the same tokens where it is taken word by word. */
function hasWordsApart(json: Json, model: Json): boolean {
  const { type, merges, ignore_merges, continuing_subword_prefix, end_of_word_suffix } = model;
  if (type !== "BPE" || ignore_merges || continuing_subword_prefix || end_of_word_suffix) {
    return false;
  }
  if (json.pre_tokenizer !== null || !Array.isArray(merges)) return false;
  return merges.every((merge) => {
    const whole: string = typeof merge === "string" ? merge.replace(" ", "") : merge.join("");
    const start = whole.search(/[^\u2581]/);
    return start < 0 || !whole.includes(SPACE, start);
  });
}

/** Steps with contents as they stand: a dollar sign begins a reference to a match in JavaScript. */
function literally(part: unknown): unknown {
  if (!isJsonObject(part)) return part;
  const inner = Object.entries(part).map(([key, value]) => [
    key,
    Array.isArray(value)
      ? value.map(literally)
      : key === "content" && part.type === "Replace" && typeof value === "string"
      ? value.replaceAll("$", "$$$$")
      : value,
  ]);
  return Object.fromEntries(inner);
}

/** The steps of a normalizer or a pre-tokenizer, which may be a sequence of some. */
function parts(value: unknown, list: string): Json[] {
  if (!isJsonObject(value)) return [];
  if (value.type !== "Sequence") return [value];
  const steps = value[list];
  return Array.isArray(steps) ? steps.flatMap((step) => parts(step, list)) : [];
}

function preTokenizer(step: Json, unsupported: string[]): Json[] {
  switch (step.type) {
    case "Digits":
      return [split(step.individual_digits ? "\\p{N}" : "\\p{N}+", "isolated")];
    case "Punctuation":
      return [split(PUNCTUATION, String(step.behavior ?? "Isolated").toLowerCase())];
    case "Whitespace":
      return [matches("\\w+|[^\\w\\s]+")];
    case "WhitespaceSplit":
      return [matches("\\S+")];
    case "Metaspace":
      if (step.split === false) return [step];
      return [step, split(escaped(String(step.replacement ?? "\u2581")), "mergedwithnext")];
    case "Split":
      return [splitStep(step, unsupported)];
    default:
      if (step.type !== "ByteLevel") unsupported.push(`the pre-tokenizer ${step.type}`);
      return [step];
  }
}

function splitStep(step: Json, unsupported: string[]): Json {
  const behavior = String(step.behavior).toLowerCase();
  if (behavior === "removed" || (behavior === "isolated" && !step.invert)) return step;
  const pattern = isJsonObject(step.pattern) ? step.pattern : {};
  const source = typeof pattern.Regex === "string"
    ? pattern.Regex
    : typeof pattern.String === "string"
    ? escaped(pattern.String)
    : undefined;
  if (source === undefined || (step.invert && behavior !== "isolated")) {
    unsupported.push(`Split with ${step.behavior}${step.invert ? ", inverted" : ""}`);
    return step;
  }
  return split(source, behavior);
}

/** A step that splits a text at what a pattern matches, and does with the matches as it is told. */
function split(pattern: string, behavior: string): Json {
  const match = `(?:${pattern})`;
  const others = `(?:(?!${match})${ANY})`;
  switch (behavior) {
    case "mergedwithprevious":
      return matches(`${others}*${match}|${others}+`);
    case "mergedwithnext":
      return matches(`${match}${others}*|${others}+`);
    case "contiguous":
      return matches(`${match}+|${others}+`);
    case "removed":
      return { type: "Split", pattern: { Regex: pattern }, behavior: "Removed", invert: false };
    default: // isolated: what matches and what lies between, however the pattern is turned
      return { type: "Split", pattern: { Regex: pattern }, behavior: "Isolated", invert: false };
  }
}

/** A step whose pieces are what a pattern matches. */
function matches(pattern: string): Json {
  return { type: "Split", pattern: { Regex: pattern }, behavior: "Removed", invert: true };
}

function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}
