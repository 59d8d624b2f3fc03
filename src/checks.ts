/**
 * Checks of option values, each one sentence with the value found and the values wanted. Options come
 * from programs without types too, so a value may be anything.
 *
 * @module
 */

import { OptionError } from "./errors.ts";

/** The most that numbers may be which kernels take in f32. */
const LARGEST = 2 ** 127;

/**
 * The most tokens of a micro-batch: rows of 64 values in f32 are then 4 GiB, more than any GPU binds.
 */
const MOST_TOKENS = 2 ** 24;

/**
 * The largest count in a file of a run. Counting goes on from there, and beyond 2^53 − 1 a number cannot be every
 * integer.
 */
export const MOST_COUNT: number = 2 ** 52;

/** The most steps of a run: they are counted in 32 bits. */
export const MOST_STEPS: number = 2 ** 31 - 1;

/** Whether a value is a whole number from 0 to `most`, as files of a run have them. */
export function isCount(value: unknown, most: number = MOST_COUNT): value is number {
  return Number.isSafeInteger(value) && value as number >= 0 && value as number <= most;
}

/** A value in a message. */
function show(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value.slice(0, 80));
  const isPlain = typeof value !== "object" && typeof value !== "function";
  if (isPlain || value === null) return String(value);
  if (typeof value === "function") return "a function";
  return Array.isArray(value) || ArrayBuffer.isView(value) ? "an array" : "an object";
}

/** A value of an option with a few words. */
function showWord(value: unknown): string {
  return typeof value === "string" ? `"${value.slice(0, 80)}"` : show(value);
}

/**
 * Refuses a value.
 *
 * @param wanted What it must be, such as `a number above 0`.
 * @throws {OptionError} always.
 */
export function refuseValue(name: string, value: unknown, wanted: string): never {
  throw new OptionError(`Cannot use ${name} ${show(value)}: give ${wanted}`);
}

/**
 * Refuses what is of another kind than a parameter.
 *
 * @param kind What it was to be, such as `a model`.
 * @param wanted What gives one.
 * @throws {OptionError} always.
 */
export function refuseKind(kind: string, value: unknown, wanted: string): never {
  throw new OptionError(`Cannot use ${show(value)} as ${kind}: give ${wanted}`);
}

/**
 * Checks a whole number.
 *
 * @throws {OptionError} if it is none from `least` to `most`.
 */
export function checkInteger(name: string, value: number, least: number, most = Infinity): void {
  if (Number.isSafeInteger(value) && value >= least && value <= most) return;
  const range = most === Infinity ? `of at least ${least}` : `from ${least} to ${most}`;
  refuseValue(name, value, `a whole number ${range}`);
}

/**
 * Checks a number.
 *
 * @throws {OptionError} if it is not from `least` on and below `below`, or is beyond f32.
 */
export function checkNumber(name: string, value: number, least: number, below = Infinity): void {
  if (typeof value === "number" && value >= least && value < Math.min(below, LARGEST)) return;
  const range = below === Infinity ? `of at least ${least}` : `from ${least} to below ${below}`;
  const kind = typeof value === "number" && value >= LARGEST
    ? "number that f32 holds,"
    : "finite number";
  refuseValue(name, value, `a ${kind} ${range}`);
}

/**
 * Checks a switch.
 *
 * @throws {OptionError} if it is neither true nor false.
 */
export function checkBoolean(name: string, value: boolean): void {
  if (typeof value === "boolean") return;
  refuseValue(name, value, "true or false");
}

/**
 * Checks a text that may be empty.
 *
 * @throws {OptionError} if it is none.
 */
export function checkString(name: string, value: string): void {
  if (typeof value !== "string") refuseValue(name, value, "a text");
}

/**
 * Checks a text, such as a path.
 *
 * @throws {OptionError} if it is none, or empty.
 */
export function checkText(name: string, value: string): void {
  if (typeof value === "string" && value !== "") return;
  refuseValue(name, value, "a text that is not empty");
}

/**
 * Checks a word.
 *
 * @throws {OptionError} if it is not among `allowed`.
 */
export function checkOneOf(name: string, value: string, allowed: readonly string[]): void {
  if (allowed.includes(value)) return;
  throw new OptionError(`Cannot use ${name} ${showWord(value)}: give one of ${allowed.join(", ")}`);
}

/**
 * Checks the shape of a micro-batch.
 *
 * @throws {OptionError} for numbers that are out of range, or more tokens than any GPU takes at a time.
 */
export function checkBatch(batchSize: number, sequenceLength: number): void {
  checkInteger("batchSize", batchSize, 1);
  checkInteger("sequenceLength", sequenceLength, 2);
  if (batchSize * sequenceLength <= MOST_TOKENS) return;
  throw new OptionError(
    `Cannot use batchSize ${batchSize} with sequenceLength ${sequenceLength} as no GPU takes more than ` +
      `${MOST_TOKENS} tokens at a time: reduce one of the two`,
  );
}

/**
 * Checks that options are an object.
 *
 * @throws {OptionError} if they are not.
 */
export function checkObject(owner: string, options: unknown): void {
  const isList = Array.isArray(options) || ArrayBuffer.isView(options);
  if (typeof options === "object" && options !== null && !isList) return;
  throw new OptionError(`Cannot use ${show(options)} as options of ${owner}: give an object`);
}

/**
 * The names of a type of options, as keys: an object that lacks one, or has another, does not compile. Its values
 * are not read, so an object of defaults serves too.
 */
export type Names<T> = Readonly<Record<keyof T, unknown>>;

/**
 * Checks the names of options, as one that nobody reads would be ignored without a word, and the values whose
 * kind follows from the name: `signal`, and functions, whose names begin with `on`.
 *
 * @param owner Whose options they are, for the message.
 * @param names All that there are, in the order of the message.
 * @param renamed What earlier names are called now.
 * @throws {OptionError} for a name that is not among them, for a value of another kind, or if the options
 * are no object.
 */
export function checkOptions<T extends object>(
  owner: string,
  options: T,
  names: Names<NoInfer<T>>,
  renamed: Readonly<Record<string, string>> = {},
): void {
  checkObject(owner, options);
  for (const [name, value] of Object.entries(options)) {
    if (!Object.hasOwn(names, name)) {
      const remedy = Object.hasOwn(renamed, name)
        ? `it is called ${renamed[name]} now`
        : `it has ${Object.keys(names).join(", ")}`;
      throw new OptionError(`There is no option ${showWord(name)} of ${owner}: ${remedy}`);
    }
    if (value === undefined) continue;
    if (name === "signal" && !(value instanceof AbortSignal)) {
      refuseValue(name, value, "that of an AbortController");
    }
    if (/^on[A-Z]/.test(name) && typeof value !== "function") {
      refuseValue(name, value, "a function");
    }
  }
}

/**
 * Checks a list that may be a typed array.
 *
 * @throws {OptionError} if it is none.
 */
export function checkList(name: string, value: ArrayLike<unknown>, of: string): void {
  if (Array.isArray(value) || (ArrayBuffer.isView(value) && !(value instanceof DataView))) return;
  refuseKind(name, value, `a list of ${of}`);
}
