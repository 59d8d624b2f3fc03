/**
 * Checks of option values, each one sentence with the value found and the values wanted.
 *
 * @module
 */

import { OptionError } from "./errors.ts";

/**
 * Checks a whole number.
 *
 * @throws {OptionError} if it is none from `least` to `most`.
 */
export function checkInteger(name: string, value: number, least: number, most = Infinity): void {
  if (Number.isSafeInteger(value) && value >= least && value <= most) return;
  const range = most === Infinity ? `of at least ${least}` : `from ${least} to ${most}`;
  throw new OptionError(`Cannot use ${name} ${value}: give a whole number ${range}`);
}

/**
 * Checks a number.
 *
 * @throws {OptionError} if it is not from `least` on and below `below`.
 */
export function checkNumber(name: string, value: number, least: number, below = Infinity): void {
  if (value >= least && value < below) return;
  const range = below === Infinity ? `of at least ${least}` : `from ${least} to below ${below}`;
  throw new OptionError(`Cannot use ${name} ${value}: give a finite number ${range}`);
}

/**
 * Checks a word.
 *
 * @throws {OptionError} if it is not among `allowed`.
 */
export function checkOneOf(name: string, value: string, allowed: readonly string[]): void {
  if (allowed.includes(value)) return;
  throw new OptionError(`Cannot use ${name} "${value}": give one of ${allowed.join(", ")}`);
}

/**
 * Checks the names of options, since one that nobody reads would be ignored without a word.
 *
 * @param owner Whose options they are, for the message.
 * @param renamed What earlier names are called now.
 * @throws {OptionError} for a name that is not among `known`.
 */
export function checkKnown(
  owner: string,
  options: object,
  known: readonly string[],
  renamed: Readonly<Record<string, string>> = {},
): void {
  const unknown = Object.keys(options).find((name) => !known.includes(name));
  if (unknown === undefined) return;
  const remedy = Object.hasOwn(renamed, unknown)
    ? `it is called ${renamed[unknown]} now`
    : `it has ${known.join(", ")}`;
  throw new OptionError(`There is no option "${unknown}" of ${owner}: ${remedy}`);
}
