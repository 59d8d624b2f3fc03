/**
 * How texts are cut before tokens are made, by the names that llama.cpp has for it. A file has but the
 * name, so a tokenizer that cuts otherwise than all of these cannot be exported.
 *
 * @module
 */

import { isJsonObject } from "../json.ts";

const CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const REST = "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const SYMBOLS = " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*";
const WORDS = "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+";
const UPPER = "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]";
const LOWER = "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]";
const THREE_DIGITS = `${CONTRACTIONS}|${WORDS}|\\p{N}{1,3}|${SYMBOLS}|${REST}`;
const ONE_DIGIT = `${CONTRACTIONS}|${WORDS}|\\p{N}|${SYMBOLS}|${REST}`;
const TEKKEN = `[^\\r\\n\\p{L}\\p{N}]?${UPPER}*${LOWER}+|[^\\r\\n\\p{L}\\p{N}]?${UPPER}+${LOWER}*` +
  `|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|${REST}`;

/** The name for a `Split` pattern; `whole`: words that are tokens stay whole whatever the merges. */
const BY_PATTERN: readonly { pattern: string; whole: boolean; name: string }[] = [
  { pattern: THREE_DIGITS, whole: true, name: "llama-bpe" },
  { pattern: THREE_DIGITS, whole: false, name: "smaug-bpe" },
  { pattern: ONE_DIGIT, whole: false, name: "qwen2" },
  { pattern: TEKKEN, whole: true, name: "tekken" },
];

/**
 * The name of how a byte-level tokenizer cuts texts; null if it has none.
 *
 * @param preTokenizer The `pre_tokenizer` of tokenizer.json.
 * @param ignoreMerges The `ignore_merges` of its model.
 */
export function preTokenizerName(preTokenizer: unknown, ignoreMerges: boolean): string | null {
  const steps = stepsOf(preTokenizer);
  const last = steps.at(-1);
  if (last?.type !== "ByteLevel" || last.add_prefix_space === true) return null;
  const cuts = last.use_regex !== false; // by GPT-2's pattern
  const before = steps.slice(0, -1);
  if (cuts && ignoreMerges) return null;
  if (cuts && before.length === 0) return "gpt-2";
  if (before.length !== 1) return null;
  const [first] = before;
  if (cuts) return first.type === "Digits" && first.individual_digits === true ? "smollm" : null;
  if (first.type !== "Split" || first.behavior !== "Isolated" || first.invert === true) return null;
  const pattern = isJsonObject(first.pattern) ? first.pattern.Regex : null;
  const found = BY_PATTERN.find((it) => it.pattern === pattern && it.whole === ignoreMerges);
  return found?.name ?? null;
}

/** The steps of a pre-tokenizer, one after another. */
export function stepsOf(part: unknown): Record<string, unknown>[] {
  if (!isJsonObject(part)) return [];
  const nested = part.pretokenizers ?? part.normalizers;
  return Array.isArray(nested) ? nested.flatMap(stepsOf) : [part];
}
