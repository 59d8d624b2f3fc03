/**
 * How texts are cut before tokens are made, by the names that llama.cpp has for it. A file has but the
 * name, so a tokenizer that cuts otherwise than all of these cannot be exported.
 *
 * @module
 */

import { isJsonObject } from "../json.ts";

const CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
/** The same as some files spell it. */
const CONTRACTIONS_SPELT = "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])";
const REST = "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const SYMBOLS = " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*";
const WORDS = "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+";
const UPPER = "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]";
const LOWER = "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]";
/** Words whose capitals come first; `end` may follow them. */
const cased = (end: string) =>
  `[^\\r\\n\\p{L}\\p{N}]?${UPPER}*${LOWER}+${end}|[^\\r\\n\\p{L}\\p{N}]?${UPPER}+${LOWER}*${end}`;
const CASED_SYMBOLS = " ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*";

/** A `Split` pattern that llama.cpp has a name for. */
export interface NamedPattern {
  readonly pattern: string;
  /** Whether words that are tokens stay whole whatever the merges: the name says that, too. */
  readonly whole: boolean;
  readonly name: string;
  /** Whether llama.cpp knows the case of ASCII letters only, and no marks: its pattern is another. */
  readonly ascii: boolean;
}

/** What llama.cpp's `llama-vocab.cpp` has, as far as models that are trained here use it. */
export const NAMED_PATTERNS: readonly NamedPattern[] = [
  [true, "llama-bpe", `${CONTRACTIONS}|${WORDS}|\\p{N}{1,3}|${SYMBOLS}|${REST}`],
  [false, "dbrx", `${CONTRACTIONS}|${WORDS}|\\p{N}{1,3}|${SYMBOLS}|${REST}`],
  [false, "qwen2", `${CONTRACTIONS}|${WORDS}|\\p{N}|${SYMBOLS}|${REST}`],
  [
    false,
    "qwen35",
    `${CONTRACTIONS}|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|${REST}`,
  ],
  [
    false,
    "seed-coder",
    `${CONTRACTIONS}|${WORDS}|\\p{N}{1}| ?[^\\s\\p{L}\\p{N}\\r\\n]+|${REST}`,
  ],
  [true, "tekken", `${cased("")}|\\p{N}|${CASED_SYMBOLS}|${REST}`],
  [false, "gpt-4o", `${cased(`${CONTRACTIONS}?`)}|\\p{N}{1,3}|${CASED_SYMBOLS}|${REST}`],
].map(([whole, name, pattern]) => ({
  whole: whole as boolean,
  name: name as string,
  pattern: pattern as string,
  ascii: name === "tekken" || name === "gpt-4o",
}));

/** How a tokenizer cuts texts, as llama.cpp knows it. */
export interface PreTokenizer {
  readonly name: string;
  /** Whether capitals and marks beyond ASCII are cut otherwise. */
  readonly ascii: boolean;
}

/**
 * How a byte-level tokenizer cuts texts; null if llama.cpp has no name for it.
 *
 * @param preTokenizer The `pre_tokenizer` of tokenizer.json.
 * @param ignoreMerges The `ignore_merges` of its model.
 */
export function preTokenizerOf(preTokenizer: unknown, ignoreMerges: boolean): PreTokenizer | null {
  const steps = stepsOf(preTokenizer);
  const last = steps.at(-1);
  if (last?.type !== "ByteLevel" || last.add_prefix_space === true) return null;
  const cuts = last.use_regex !== false; // by GPT-2's pattern
  const before = steps.slice(0, -1);
  if (cuts && ignoreMerges) return null;
  if (cuts && before.length === 0) return { name: "gpt-2", ascii: false };
  if (before.length !== 1) return null;
  const [first] = before;
  if (cuts) {
    const digits = first.type === "Digits" && first.individual_digits === true;
    return digits ? { name: "smollm", ascii: false } : null;
  }
  if (first.type !== "Split" || !keepsMatches(first)) return null;
  const pattern = isJsonObject(first.pattern) ? first.pattern.Regex : null;
  if (typeof pattern !== "string") return null;
  const spelt = pattern.replaceAll(CONTRACTIONS_SPELT, CONTRACTIONS);
  return NAMED_PATTERNS.find((it) => it.pattern === spelt && it.whole === ignoreMerges) ?? null;
}

/** Whether what a pattern finds becomes words; the patterns of the list leave nothing between them. */
function keepsMatches({ behavior, invert }: Record<string, unknown>): boolean {
  return behavior === "Isolated" && invert !== true || behavior === "Removed" && invert === true;
}

/** The steps of a pre-tokenizer, one after another. */
export function stepsOf(part: unknown): Record<string, unknown>[] {
  if (!isJsonObject(part)) return [];
  const nested = part.pretokenizers ?? part.normalizers;
  return Array.isArray(nested) ? nested.flatMap(stepsOf) : [part];
}
