/**
 * Regular expressions of files, against JavaScript's own engine: those that are judged safe for it must be, and what names
 * of modules match must be what it says.
 */

import { type PreTokenizer, SplitPreTokenizer } from "@huggingface/tokenizers";
import { ModelError } from "../../../src/errors.ts";
import { expectSafe } from "../../../src/io/patterns/judge.ts";
import { BoundedPattern } from "../../../src/io/patterns/matcher.ts";
import { mutateText } from "../frame/mutate_text.ts";
import { type FuzzTarget, Nonsense } from "../frame/target.ts";
import { PATTERN_PIECES, PATTERNS } from "../support/patterns.ts";

const NAMES = ["model.layers.0.self_attn.q_proj", "lm_head", "", "aaaaaaaab", "a a1", "x\na"];
/** Texts on which an engine that goes back is busy. */
const RUNS = ["a", " ", "1", "\n", "-", "aA", "a ", "é"].flatMap((piece) => [
  piece.repeat(1500),
  `${piece.repeat(1500)}!\u0000`,
]);

/** An expression that JavaScript reads as Python does, or null. */
function inJavaScript(source: string): RegExp | null {
  // What the two read in another way: places before the last line feed, sets of Unicode, groups, options and \a of Python's own.
  if (/\$|\\[aAzZbBdDsSwW]|\(\?[^:=!<]|\(\?<[^=!]|\[|\\[xupPc0-9]|[{}]|[*+?][*+]/.test(source)) {
    return null;
  }
  try {
    return new RegExp(`^(?:${source})`);
  } catch {
    return null;
  }
}

/** Runs what is judged safe, as the library does. */
function runSafe(source: string): void {
  let step: PreTokenizer;
  try {
    const pattern = { Regex: source };
    step = new SplitPreTokenizer({ type: "Split", pattern, behavior: "Isolated", invert: false });
  } catch {
    return; // the library cannot read it, and says so
  }
  for (const text of RUNS) step.pre_tokenize([text]);
}

export const target: FuzzTarget<string> = {
  about: "regular expressions, run where they are judged safe",
  cost: "dear",
  gate: 100,
  prepare: () => ({
    make: (random) =>
      random.chance(0.3)
        ? Array.from({ length: random.between(1, 8) }, () => random.pick(PATTERN_PIECES)).join("")
        : mutateText(random, PATTERNS, PATTERN_PIECES),
    run: (source) => {
      let safe: string | null = null;
      try {
        expectSafe(source);
      } catch (error) {
        safe = (error as Error).message;
      }
      if (safe === null) runSafe(source);
      let pattern: BoundedPattern;
      try {
        pattern = new BoundedPattern(source);
        for (const name of NAMES) pattern.matches(name);
      } catch (error) {
        throw new ModelError((error as Error).message);
      }
      const oracle = inJavaScript(source);
      if (oracle === null || safe !== null) return;
      for (const name of NAMES) {
        if (pattern.matches(name) === oracle.test(name)) continue;
        throw new Nonsense(`${JSON.stringify(name)} is ${oracle.test(name) ? "" : "not "}matched`);
      }
    },
  }),
};
