/**
 * What the parts of a tokenizer.json may hold: normalizers, pre-tokenizers, post-processors, decoders.
 *
 * The file may come from anyone, and neither library looks at all of it before it runs: a field of
 * another type is an error from within, a length of zero a loop without an end, and some values take the
 * native library, and the process with it, down.
 *
 * @module
 */

import { isJsonObject, showJson } from "./json.ts";
import { shortestOf } from "./patterns/first.ts";
import { expectSafe } from "./patterns/judge.ts";
import { parsePattern } from "./patterns/syntax.ts";
import { isReadableCharsmap } from "./precompiled.ts";

type Json = Record<string, unknown>;
/** What a field has to be, in words; null if it is that. */
type Rule = (value: unknown) => string | null;

/** The longest text in a part, and the most parts in one another. */
const LONGEST_TEXT = 1000;
const MOST_STEPS = 100;
const DEEPEST = 20;
/** How many times longer replacements may make a text. */
const MOST_GROWTH = 64;

const rule = (wanted: string, holds: (value: unknown) => boolean): Rule => (value) =>
  holds(value) ? null : wanted;
const optional = (other: Rule): Rule => (value) =>
  value === undefined || value === null ? null : other(value);
const truth = optional(rule("true or false", (value) => typeof value === "boolean"));
const isText = (value: unknown): value is string =>
  typeof value === "string" && value.length <= LONGEST_TEXT;
const text = rule(`a text of up to ${LONGEST_TEXT} characters`, isText);
const character = optional(
  rule("one character", (value) => typeof value === "string" && [...value].length === 1),
);
const count = (least: number): Rule =>
  rule(
    `a whole number of at least ${least}`,
    (value) => Number.isSafeInteger(value) && (value as number) >= least,
  );
const oneOf = (...words: string[]): Rule =>
  rule(words.join(", "), (value) => words.includes(value as string));
const isPair = (value: unknown): boolean =>
  Array.isArray(value) && value.length === 2 && isText(value[0]) && Number.isSafeInteger(value[1]);
const pair = rule("a token and its id", isPair);
const behavior = oneOf(
  "Removed",
  "Isolated",
  "MergedWithPrevious",
  "MergedWithNext",
  "Contiguous",
);
const pattern: Rule = (value) => {
  if (!isJsonObject(value)) return "an object with String or Regex";
  const { String: literal, Regex: expression } = value;
  if (literal !== undefined && expression === undefined) {
    return isText(literal) && literal !== "" ? null : "an object with a text as String";
  }
  if (typeof expression !== "string" || literal !== undefined) {
    return "an object with either String or Regex";
  }
  try {
    expectSafe(expression);
    return null;
  } catch (error) {
    return `a regular expression that takes no more time than a text is long: ${
      (error as Error).message
    }`;
  }
};

const SPACES = {
  replacement: character,
  str_rep: character,
  split: truth,
  add_prefix_space: truth,
};
const BYTES = { add_prefix_space: truth, trim_offsets: truth, use_regex: truth };
const BERT = { sep: pair, cls: pair, trim_offsets: truth, add_prefix_space: truth };
const scheme = optional(oneOf("first", "never", "always"));

/** The fields of each type of a part. A type that is not here is left to the libraries. */
type Types = Readonly<Record<string, Readonly<Record<string, Rule>>>>;

const NORMALIZERS: Types = {
  BertNormalizer: {
    clean_text: truth,
    handle_chinese_chars: truth,
    strip_accents: truth,
    lowercase: truth,
  },
  Replace: { pattern, content: text },
  Strip: { strip_left: truth, strip_right: truth },
  Prepend: { prepend: text },
  Precompiled: {
    precompiled_charsmap: rule("a table as sentencepiece writes it", isReadableCharsmap),
  },
};
const PRE_TOKENIZERS: Types = {
  Metaspace: { ...SPACES, prepend_scheme: scheme },
  ByteLevel: BYTES,
  Split: { pattern, behavior, invert: truth },
  Punctuation: { behavior: optional(behavior) },
  Digits: { individual_digits: truth },
  Replace: { pattern, content: text },
  FixedLength: { length: count(1) },
  CharDelimiterSplit: { delimiter: character },
};
const POST_PROCESSORS: Types = {
  ByteLevel: BYTES,
  BertProcessing: BERT,
  RobertaProcessing: BERT,
};
const DECODERS: Types = {
  ByteLevel: BYTES,
  WordPiece: { prefix: text, cleanup: truth },
  Metaspace: { ...SPACES, prepend_scheme: scheme },
  BPEDecoder: { suffix: text },
  CTC: { pad_token: text, word_delimiter_token: text, cleanup: truth },
  Replace: { pattern, content: text },
  Strip: { content: character, start: count(0), stop: count(0) },
};

/** The parts of a tokenizer.json: their types, and the name of the list in a sequence of some. */
export const PARTS: Readonly<Record<string, { types: Types; list: string }>> = {
  normalizer: { types: NORMALIZERS, list: "normalizers" },
  pre_tokenizer: { types: PRE_TOKENIZERS, list: "pretokenizers" },
  post_processor: { types: POST_PROCESSORS, list: "processors" },
  decoder: { types: DECODERS, list: "decoders" },
};

/** The steps of a part, which may be a sequence of some. */
export function stepsOf(value: unknown, name: string): Json[] {
  const { list } = PARTS[name];
  const steps: Json[] = [];
  const collect = (step: unknown, depth: number): void => {
    if (step === undefined || step === null) return;
    if (!isJsonObject(step)) throw new Error(`${name} must hold objects: found ${showJson(step)}`);
    if (typeof step.type !== "string") {
      throw new Error(`${name} must have types that are names: found ${showJson(step.type)}`);
    }
    if (step.type !== "Sequence") {
      steps.push(step);
    } else {
      const inner = step[list];
      if (!Array.isArray(inner)) {
        throw new Error(`${list} in ${name} must be a list: found ${showJson(inner)}`);
      }
      if (depth >= DEEPEST) throw new Error(`${name} is nested more than ${DEEPEST} levels deep`);
      for (const item of inner) {
        if (item === null) throw new Error(`${list} in ${name} must hold objects: found null`);
        collect(item, depth + 1);
      }
    }
    if (steps.length > MOST_STEPS) throw new Error(`${name} has more than ${MOST_STEPS} steps`);
  };
  collect(value, 0);
  return steps;
}

/**
 * Makes sure that a part is one that the libraries can run.
 *
 * @throws {Error} naming the field that is in the way, what it is and what it has to be.
 */
export function expectPart(value: unknown, name: string): void {
  let growth = 1;
  for (const step of stepsOf(value, name)) {
    const { types } = PARTS[name];
    if (!Object.hasOwn(types, step.type as string)) continue;
    const fields = types[step.type as string];
    for (const [field, rule] of Object.entries(fields)) {
      const wanted = rule(step[field]);
      if (wanted !== null) {
        throw new Error(
          `${field} of ${step.type} in ${name} must be ${wanted} (found ${showJson(step[field])})`,
        );
      }
    }
    if (step.type === "Replace") growth *= growthOf(step);
    if (step.type === "Prepend") growth += (step.prepend as string).length / LONGEST_TEXT;
    if (growth > MOST_GROWTH) {
      throw new Error(
        `the replacements in ${name} make a text more than ${MOST_GROWTH} times longer`,
      );
    }
  }
}

/** How many times longer a replacement makes a text. */
function growthOf({ pattern, content }: Json): number {
  const { String: literal, Regex: expression } = pattern as { String?: string; Regex?: string };
  const replaced = literal?.length ?? shortestOf(parsePattern(expression!, "oniguruma"));
  // What matches nothing stands between all characters.
  return Math.max(1, (content as string).length / Math.max(1, replaced) + Number(replaced === 0));
}
