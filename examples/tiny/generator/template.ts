/**
 * The template language in which the tiny world's texts are written.
 *
 * - `[red|green|]` is one of its alternatives; they may be empty, and may hold further choices. No
 *   double space is left where nothing was chosen.
 * - `{key}` is a slot, whose text may name other slots. `{Key}` starts with a capital, `{a key}`
 *   and `{A key}` carry "a" or "an".
 *
 * @module
 */
import { DataError } from "../../../src/errors.ts";
import type { Random } from "./random.ts";

/** Returns the text of a slot, or `undefined` where there is none of that name. */
export type Slots = (key: string) => string | undefined;

const INNERMOST_CHOICE = /\[([^[\]]*)\]/;
const SLOT = /\{([aA] )?([\w.]+)\}/g;

/**
 * Writes one text from a template.
 *
 * Choices are made before slots are filled, and slots from left to right, so that a slot may depend
 * on what was said before it.
 *
 * @throws {DataError} where the template names a slot that `slots` does not have.
 */
export function expand(template: string, slots: Slots, random: Random): string {
  let chosen = template;
  for (let match; (match = INNERMOST_CHOICE.exec(chosen)) !== null;) {
    chosen = chosen.slice(0, match.index) + random.pick(match[1].split("|")) +
      chosen.slice(match.index + match[0].length);
  }
  return fill(chosen.replace(/ {2,}/g, " "), slots);
}

function fill(template: string, slots: Slots): string {
  return template.replace(SLOT, (_, article: string | undefined, key: string) => {
    const lowerKey = key[0].toLowerCase() + key.slice(1);
    const value = slots(lowerKey);
    if (value === undefined) {
      throw new DataError(
        `A template names the slot "${lowerKey}", which its scene does not have: draw it, or ` +
          `correct its name`,
      );
    }
    const text = fill(article ? withArticle(value) : value, slots);
    return key === lowerKey && article !== "A " ? text : capitalise(text);
  });
}

/** The text with its first letter in upper case. */
export function capitalise(text: string): string {
  return text[0].toUpperCase() + text.slice(1);
}

/** The text after "a" or "an", as its first letter requires. */
export function withArticle(text: string): string {
  return (/^[aeiou]/i.test(text) ? "an " : "a ") + text;
}

/** A list as English writes it: "a", "a and b", "a, b and c". */
export function enumerate(items: readonly string[]): string {
  return items.length < 2
    ? items.join("")
    : `${items.slice(0, -1).join(", ")} and ${items[items.length - 1]}`;
}
