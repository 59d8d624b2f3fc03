/**
 * What values of flags must be, however they were given: of a name that the table has, and of a kind that goes with the
 * placeholder of its help.
 *
 * @module
 */

import type { FlagTable } from "../../../src/cli/flags.ts";
import { Nonsense } from "../frame/target.ts";

/** By placeholder; others are texts, or words of a list. */
const KINDS: Readonly<Record<string, (value: unknown) => boolean>> = {
  N: (value) => Number.isSafeInteger(value),
  X: (value) => Number.isFinite(value),
  "X,…": (value) => Array.isArray(value) && value.every((x) => Number.isFinite(x) && x > 0),
  "KEY=COLUMN,…": isTexts,
};

function isTexts(value: unknown): boolean {
  return typeof value === "object" && value !== null &&
    Object.values(value).every((text) => typeof text === "string" && text !== "");
}

/**
 * Holds values to a table.
 *
 * @throws {Nonsense} for a name that it has not, or a value of another kind.
 */
export function expectFlagValues(
  values: Readonly<Record<string, unknown>>,
  flags: FlagTable,
): void {
  if (Object.getPrototypeOf(values) !== Object.prototype) throw new Nonsense("another prototype");
  for (const [name, value] of Object.entries(values)) {
    if (!Object.hasOwn(flags, name)) throw new Nonsense(`there is no flag ${name}`);
    const { placeholder } = flags[name];
    const isKind = placeholder === null
      ? typeof value === "boolean"
      : Object.hasOwn(KINDS, placeholder)
      ? KINDS[placeholder](value)
      : placeholder.includes("|")
      ? isWord(value, placeholder)
      : typeof value === "string" || isTexts(value);
    if (!isKind) throw new Nonsense(`${name} is ${Deno.inspect(value)}`);
  }
  const polluted = ["a", "rank", "polluted"].find((name) => name in {});
  if (polluted !== undefined) throw new Nonsense(`every object has "${polluted}"`);
}

/** One of the words of a placeholder; a word in capitals stands for others. */
function isWord(value: unknown, placeholder: string): boolean {
  const words = placeholder.split("|");
  if (words.some((word) => word === word.toUpperCase())) {
    return ["string", "number"].includes(typeof value);
  }
  return words.includes(value as string);
}
