/**
 * Flags as data: a table of a command's flags is what its command line is parsed by, what its help is written from,
 * and what a config file is checked against.
 *
 * A table's keys are the names in camelCase, as in the library and in config files; on the command line they are in
 * kebab-case.
 *
 * @module
 */

import { parseArgs } from "@std/cli/parse-args";
import { checkColumnMap, type ColumnMap, parseColumnMap } from "../data/row_format.ts";
import { isJsonObject, showJson } from "../io/json.ts";
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
  /** The meaning of a word of the command line, or of a value of a config file; undefined if it has none. */
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
  const read = (value: unknown) => typeof value === "string" && value !== "" ? value : undefined;
  return flag(placeholder, words, "a path", read);
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

/**
 * Reads a command line by a table.
 *
 * @returns The values of the flags that are there, and the words that belong to none.
 * @throws {UsageError} for an unknown flag or a value of the wrong kind.
 */
export function parseFlags<F extends FlagTable>(
  args: readonly string[],
  flags: F,
): { values: FlagValues<F>; words: string[] } {
  const switches = Object.keys(flags).filter((name) => flags[name].placeholder === null)
    .map(kebabCase);
  const valued = Object.keys(flags).filter((name) => flags[name].placeholder !== null)
    .map(kebabCase);
  const parsed: Record<string, unknown> = parseArgs(attachValues(args, valued), {
    boolean: switches,
    negatable: switches,
    string: ["_", ...valued],
    alias: "help" in flags ? { h: "help" } : {},
    default: Object.fromEntries(switches.map((name) => [name, undefined])), // else false
    unknown: (word: string, key?: string) => {
      if (key === undefined) return true; // a word that belongs to no flag
      const known = nearest(key, [...switches, ...valued]);
      const name = word.split("=")[0];
      throw new UsageError(`There is no flag ${name}: did you mean --${known}?`);
    },
  });
  const values: Record<string, unknown> = {};
  for (const name of Object.keys(flags)) {
    const value = parsed[kebabCase(name)];
    if (value !== undefined) values[name] = read(flags[name], value, `--${kebabCase(name)}`);
  }
  return { values: values as FlagValues<F>, words: parsed._ as string[] };
}

/** Joins flags and their values by `=`: the parser would not take `-1`, `- a list` or an empty text for a value. */
function attachValues(args: readonly string[], valued: readonly string[]): string[] {
  const joined: string[] = [];
  for (let i = 0; i < args.length; i++) {
    const takesNext = valued.includes(args[i].slice(2)) && args[i].startsWith("--") &&
      i + 1 < args.length && !args[i + 1].startsWith("--");
    joined.push(takesNext ? `${args[i]}=${args[++i]}` : args[i]);
  }
  return joined;
}

/**
 * Reads an object, as a config file holds it, by a table. Keys may be in camelCase or kebab-case.
 *
 * @param where Names the file in messages.
 * @throws {UsageError} for an unknown key or a value of the wrong kind.
 */
export function readOptions<F extends FlagTable>(
  object: Record<string, unknown>,
  flags: F,
  where: string,
): FlagValues<F> {
  const values: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(object)) {
    const name = camelCase(key);
    if (!Object.hasOwn(flags, name)) {
      const known = nearest(name, Object.keys(flags));
      throw new UsageError(`There is no option "${key}" (in ${where}): did you mean "${known}"?`);
    }
    if (name in values) throw new UsageError(`The option "${key}" is there twice in ${where}`);
    values[name] = read(flags[name], value, `"${key}" in ${where}`);
  }
  return values as FlagValues<F>;
}

function read<T>(flag: Flag<T>, value: unknown, where: string): T {
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

function toNumber(value: unknown): number | undefined {
  const number = typeof value === "string" && value.trim() !== "" ? Number(value) : value;
  return Number.isFinite(number) ? number as number : undefined;
}
