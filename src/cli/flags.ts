/**
 * Flags as data: a table of a command's flags is what its command line is parsed by, what its help
 * is written from, and what a config file is checked against.
 *
 * A table's keys are the names in camelCase, as in the library and in config files; on the command
 * line they are in kebab-case.
 *
 * @module
 */

import { checkColumnMap, type ColumnMap, parseColumnMap } from "../data/column_map.ts";
import { isJsonObject, showJson } from "../io/json.ts";
import { parseSaveInterval, type SaveInterval } from "../train/save_interval.ts";
import { UsageError } from "./errors.ts";
import { nearest } from "./nearest.ts";

/** A flag of a command, and the option of the same name in a config file. */
export interface Flag<T> {
  /** What the value is called in help; null for a switch, which has none. */
  readonly placeholder: string | null;
  /** What it does. */
  readonly help: string;
  /** What holds without it, in words. */
  readonly default?: string;
  /** What a value must be, for messages. */
  readonly wanted: string;
  /** Heading in help. */
  readonly group?: string;
  /** Earlier names, in camelCase, which are still taken; each use is answered by a hint. */
  readonly alias?: readonly string[];
  /** Whether it may be given several times. */
  readonly collects?: boolean;
  /**
   * The meaning of a word of the command line, or of a value of a config file; undefined if it has
   * none.
   */
  read(value: unknown): T | undefined;
}

/** The flags of a command by name, in the order of its help. */
export type FlagTable = Readonly<Record<string, Flag<unknown>>>;

/** What was given for the flags of a table. */
export type FlagValues<F extends FlagTable> = {
  -readonly [K in keyof F]?: F[K] extends Flag<infer T> ? T : never;
};

/** Help and default of a flag. */
type Words = [help: string, defaultWords?: string];

/** Any text, even an empty one. */
export function text(placeholder: string, ...words: Words): Flag<string> {
  const read = (value: unknown) => typeof value === "string" ? value : undefined;
  return flag(placeholder, words, "text", read);
}

/** The path of a file or a folder. */
export function path(placeholder: string, ...words: Words): Flag<string> {
  return flag(placeholder, words, "a path", (value) => isPath(value) ? value : undefined);
}

/** Only a config file can spell the character that no path has. */
function isPath(value: unknown): value is string {
  return typeof value === "string" && /^[^\0]+$/.test(value);
}

/** Paths or other names of data: the flag may be given several times, and each adds one. */
export function names(placeholder: string, ...words: Words): Flag<string[]> {
  return collecting(path(placeholder, ...words));
}

/** Texts: the flag may be given several times, and each adds one. */
export function texts(placeholder: string, ...words: Words): Flag<string[]> {
  const read = (value: unknown) => typeof value === "string" && value !== "" ? value : undefined;
  return collecting(flag(placeholder, words, "a text that is not empty", read));
}

function collecting({ read, ...one }: Flag<string>): Flag<string[]> {
  const readAll = (value: unknown) => {
    const given = [value].flat().map(read).filter((it) => it !== undefined);
    return given.length > 0 && given.length === [value].flat().length ? given : undefined;
  };
  return { ...one, wanted: `${one.wanted}, or a list of them`, read: readAll, collects: true };
}

/** Numbers above 0 with commas between; in a file also an array. */
export function numbers(...words: Words): Flag<number[]> {
  return flag("X,…", words, "numbers above 0 with commas between", (value) => {
    const given = typeof value === "string" ? value.split(",") : [value].flat();
    const read = given.map(toNumber);
    return read.every((it) => it !== undefined && it > 0) ? read as number[] : undefined;
  });
}

/** A finite number; in a file, YAML takes 2e-4 for a string. */
export function number(...words: Words): Flag<number> {
  return flag("X", words, "a number", toNumber);
}

/** A whole number. */
export function whole(...words: Words): Flag<number> {
  return flag("N", words, "a whole number", (value) => {
    const number = toNumber(value);
    return Number.isSafeInteger(number) ? number : undefined;
  });
}

/** How often checkpoints are saved. */
export function interval(...words: Words): Flag<SaveInterval> {
  const wanted = "a number of steps, a time such as 10m, or epoch";
  return flag("N|TIME|epoch", words, wanted, parseSaveInterval);
}

/** On or off: `--name` or `--no-name`. */
export function toggle(...words: Words): Flag<boolean> {
  const read = (value: unknown) => typeof value === "boolean" ? value : undefined;
  return flag(null, words, "true or false", read);
}

/** One of a few words. */
export function choice<const T extends string>(options: readonly T[], ...words: Words): Flag<T> {
  const read = (value: unknown) => options.find((option) => option === value);
  return flag(options.join("|"), words, `one of ${options.join(", ")}`, read);
}

/** Words with commas between; in a file also an array. */
export function list(placeholder: string, ...words: Words): Flag<string[]> {
  return flag(placeholder, words, "names with commas between", (value) => {
    const names = typeof value === "string" ? value.split(",") : value;
    const valid = Array.isArray(names) && names.length > 0 &&
      names.every((name) => typeof name === "string" && name.trim() !== "");
    return valid ? names.map((name) => name.trim()) : undefined;
  });
}

/** `key=column` pairs with commas between; in a file also an object. */
export function columns(...words: Words): Flag<ColumnMap> {
  return flag("KEY=COLUMN,…", words, "key=column pairs with commas between", (value) => {
    if (typeof value === "string") return parseColumnMap(value);
    if (!isJsonObject(value)) return undefined;
    if (!Object.values(value).every((column) => typeof column === "string")) return undefined;
    checkColumnMap(value as ColumnMap);
    return value as ColumnMap;
  });
}

/** Gives a flag the names that it had earlier. */
export function renamed<T>(flag: Flag<T>, ...alias: string[]): Flag<T> {
  return { ...flag, alias };
}

/** Puts flags under a heading in help. */
export function group<F extends FlagTable>(heading: string, flags: F): F {
  const headed = Object.entries(flags).map(([name, flag]) => [name, { ...flag, group: heading }]);
  return Object.fromEntries(headed);
}

/** `learningRate` as the command line has it: `learning-rate`. */
export function kebabCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/** `learning-rate` as tables have it: `learningRate`. */
export function camelCase(name: string): string {
  return name.replace(/-([a-z])/g, (_, letter) => letter.toUpperCase());
}

/** Is told what to write instead of what was understood all the same. */
export type OnHint = (hint: string) => void;

/**
 * Reads an object, as a config file holds it, by a table. Keys may be in camelCase or kebab-case.
 *
 * @param where Names the file in messages.
 * @param onHint Is told of options that were given by an earlier name.
 * @throws {UsageError} for an unknown key, one that is there twice, or a value of the wrong kind.
 */
export function readOptions<F extends FlagTable>(
  object: Record<string, unknown>,
  flags: F,
  where: string,
  onHint: OnHint = () => {},
): FlagValues<F> {
  const values: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(object)) {
    const given = camelCase(key);
    const name = Object.hasOwn(flags, given)
      ? given
      : Object.keys(flags).find((name) => flags[name].alias?.includes(given));
    if (name === undefined) {
      const known = nearest(given, Object.keys(flags));
      const remedy = known === null ? "--help lists those there are" : `did you mean "${known}"?`;
      throw new UsageError(`There is no option ${showJson(key)} (in ${where}): ${remedy}`);
    }
    if (name in values) {
      throw new UsageError(`The option ${showJson(key)} is there twice in ${where}`);
    }
    if (name !== given) onHint(`"${key}" is called "${name}" now (in ${where})`);
    values[name] = readFlag(flags[name], value, `"${key}" in ${where}`);
  }
  return values as FlagValues<F>;
}

/**
 * What a value means for a flag.
 *
 * @param where Names the flag in messages.
 * @throws {UsageError} for a value of the wrong kind.
 */
export function readFlag<T>(flag: Flag<T>, value: unknown, where: string): T {
  const meaning = flag.read(value);
  if (meaning !== undefined) return meaning;
  const found = value === "" ? "has no value" : `has the value ${showJson(value)}`;
  throw new UsageError(`${where} ${found}: give ${flag.wanted}`);
}

function flag<T>(
  placeholder: string | null,
  [help, defaultWords]: Words,
  wanted: string,
  read: Flag<T>["read"],
): Flag<T> {
  return { placeholder, help, default: defaultWords, wanted, read };
}

/** In decimals, as people write numbers: what else JavaScript takes for one is a slip. */
const DECIMAL = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;

function toNumber(value: unknown): number | undefined {
  const isText = typeof value === "string";
  const number = isText && DECIMAL.test(value.trim()) ? Number(value) : value;
  return typeof number === "number" && Number.isFinite(number) ? number + 0 : undefined; // no −0
}
