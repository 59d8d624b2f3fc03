/**
 * Reading JSON files: parsing, and objects whose fields are checked and recorded as they are read.
 *
 * @module
 */

import { FileError, ModelError } from "../errors.ts";
import { readTextFile } from "./text_file.ts";

/** Levels of arrays and objects in each other; published files have less than 20. */
const MOST_LEVELS = 128;

/**
 * Reads and parses a JSON file.
 *
 * @param most The most bytes that it may have.
 * @throws {FileError} if the file is missing, unreadable, too large or not JSON.
 */
export async function readJson(path: string, most?: number): Promise<unknown> {
  const text = await readTextFile(path, most);
  try {
    return parseJson(text);
  } catch (error) {
    throw new FileError(
      `Cannot read "${path}" as JSON: ${
        (error as Error).message
      }; repair the file, or fetch it again`,
    );
  }
}

/**
 * Parses JSON from elsewhere.
 *
 * @throws {SyntaxError} if it is none, or nested so deeply that what walks over it by calling itself
 * would run out of stack.
 */
export function parseJson(text: string): unknown {
  const value = JSON.parse(text);
  if (levels(text) > MOST_LEVELS) {
    throw new SyntaxError(`it is nested more than ${MOST_LEVELS} levels deep`);
  }
  return value;
}

/** How deeply JSON is nested. */
function levels(json: string): number {
  let [depth, deepest] = [0, 0];
  for (let i = 0; i < json.length; i++) {
    switch (json.charCodeAt(i)) {
      case 0x22: // a string, up to the next quote that no backslash precedes
        while (json.charCodeAt(++i) !== 0x22) if (json.charCodeAt(i) === 0x5c) i++;
        break;
      case 0x5b: // [
      case 0x7b: // {
        deepest = Math.max(deepest, ++depth);
        break;
      case 0x5d:
      case 0x7d:
        depth--;
    }
  }
  return deepest;
}

/** Whether `value` is a JSON object, not an array or null. */
export function isJsonObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Characters that fit a sentence. */
const SHOWN = 80;

/**
 * `value` as a reader would recognise it in the file, cut to a length that fits a sentence. Only what is
 * shown is looked at: a value can be far larger than its file, as aliases of YAML are shared.
 */
export function showJson(value: unknown): string {
  const text = begin(value, SHOWN + 1);
  return text.length > SHOWN ? text.slice(0, SHOWN - 3) + "..." : text;
}

/** The first `room` characters of a value as JSON, or some more; all of a shorter one. */
function begin(value: unknown, room: number): string {
  if (typeof value === "string") return JSON.stringify(value.slice(0, room));
  if (typeof value !== "object" || value === null || value instanceof Date) {
    return typeof value === "bigint" ? `${value}` : JSON.stringify(value) ?? "nothing";
  }
  const isArray = Array.isArray(value);
  let text = isArray ? "[" : "{";
  for (const key in value) {
    if (!Object.hasOwn(value, key) || (!isArray && value[key as never] === undefined)) continue;
    if (text.length > 1) text += ",";
    if (text.length >= room) return text;
    if (!isArray) text += `${begin(key, room)}:`;
    text += begin((value as Record<string, unknown>)[key], room - text.length);
  }
  return text + (isArray ? "]" : "}");
}

/**
 * The fields of a JSON object, each checked as it is read. A field that is absent or null takes
 * the fallback where one is given; anything of the wrong kind is a {@linkcode ModelError} that
 * names the file, the field, the value found and the value wanted.
 *
 * It remembers which fields were read; {@linkcode unclaimed} lists the others.
 */
export class JsonFields {
  /** The object, with the defaults of what it has not. */
  readonly json: Record<string, unknown>;
  /** Where the object stands, for messages: a quoted path, or a field in one. */
  readonly where: string;
  readonly #claimed = new Set<string>();
  /** The fields that the file itself has. */
  readonly #own: readonly string[];

  /**
   * Takes an object to read from.
   *
   * @param defaults The values of fields that are absent.
   * @throws {ModelError} if `json` is not an object.
   */
  constructor(json: unknown, where: string, defaults: Readonly<Record<string, unknown>> = {}) {
    if (!isJsonObject(json)) {
      throw new ModelError(
        `${where} must be a JSON object: found ${showJson(json)}; correct the file`,
      );
    }
    this.json = { ...defaults, ...json };
    this.#own = Object.keys(json);
    this.where = where;
  }

  /** Whether the field is there and not null. */
  has(name: string): boolean {
    this.#claimed.add(name);
    return Object.hasOwn(this.json, name) && this.json[name] !== null;
  }

  /** Whether the field is not there at all: some formats give null another meaning. */
  isAbsent(name: string): boolean {
    this.#claimed.add(name);
    return !Object.hasOwn(this.json, name);
  }

  /** Whether the file itself has the field, which is then no default. */
  isGiven(name: string): boolean {
    return this.#own.includes(name);
  }

  /** The names of the fields that no method of this object was asked for yet. */
  unclaimed(): string[] {
    return this.#own.filter((name) => !this.#claimed.has(name));
  }

  /** The field as it stands; undefined when absent or null. */
  raw(name: string): unknown {
    return this.has(name) ? this.json[name] : undefined;
  }

  /** An integer from `min` to `max`. */
  integer(name: string, min: number, fallback?: number, max = Infinity): number {
    return this.#read(
      name,
      max === Infinity ? `an integer of at least ${min}` : `an integer from ${min} to ${max}`,
      fallback,
      (value) => Number.isSafeInteger(value) && (value as number) >= min && value as number <= max,
    );
  }

  /** A number above zero, in a range within which it and its inverse are numbers of f32. */
  positive(
    name: string,
    fallback?: number,
    [least, most]: readonly [least: number, most: number] = [1e-30, 1e30],
  ): number {
    return this.#read(
      name,
      `a number from ${least} to ${most}`,
      fallback,
      (value) => typeof value === "number" && value >= least && value <= most,
    );
  }

  /** True or false. */
  boolean(name: string, fallback?: boolean): boolean {
    return this.#read(name, "true or false", fallback, (value) => typeof value === "boolean");
  }

  /** A string. */
  string(name: string, fallback?: string): string {
    return this.#read(name, "a string", fallback, (value) => typeof value === "string");
  }

  /** An array of strings. */
  strings(name: string, fallback?: string[]): string[] {
    return this.#read(
      name,
      "an array of strings",
      fallback,
      (value) => Array.isArray(value) && value.every((item) => typeof item === "string"),
    );
  }

  /** A nested object. */
  object(name: string): JsonFields {
    return new JsonFields(this.raw(name), `${name} in ${this.where}`);
  }

  /** The error for a field whose value cannot be used; `remedy` is an imperative. */
  error(name: string, wanted: string, remedy = "correct the file"): ModelError {
    const found = showJson(this.json[name]);
    return new ModelError(
      `${name} in ${this.where} must be ${wanted}: found ${found}; ${remedy}`,
    );
  }

  #read<T>(
    name: string,
    wanted: string,
    fallback: T | undefined,
    accepts: (value: unknown) => boolean,
  ): T {
    const value = this.raw(name);
    if (value === undefined && fallback !== undefined) return fallback;
    if (!accepts(value)) throw this.error(name, wanted);
    return value as T;
  }
}
