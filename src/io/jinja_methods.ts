/**
 * Methods, filters and tests that templates call, where the template engine has none or another than
 * Python and Jinja.
 *
 * @module
 */

import type { Budget } from "./jinja_budget.ts";
import { isList, isString, preceded, printed, type Value, wrap } from "./jinja_values.ts";

/** What Python takes for white space, by `str.isspace`. */
// deno-lint-ignore no-control-regex
const SPACE = /[\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]/;

type Method = (text: string, budget: Budget, ...values: unknown[]) => unknown;

const STRING_METHODS: Record<string, Method> = {
  strip: (text, _, chars) => strip(text, chars, true, true),
  lstrip: (text, _, chars) => strip(text, chars, true, false),
  rstrip: (text, _, chars) => strip(text, chars, false, true),
  capitalize: (text) => capitalized(text),
  title: (text, budget) => {
    budget.spend(text.length); // as many words as there may be
    return text.replace(/\p{L}+/gu, capitalized);
  },
  removeprefix: (text, _, prefix) =>
    text.startsWith(word("removeprefix", prefix)) ? text.slice(word("", prefix).length) : text,
  removesuffix: (text, _, suffix) => {
    const end = word("removesuffix", suffix);
    return end !== "" && text.endsWith(end) ? text.slice(0, -end.length) : text;
  },
  find: (text, _, part) => codePoints(text, text.indexOf(word("find", part))),
  rfind: (text, _, part) => codePoints(text, text.lastIndexOf(word("rfind", part))),
  count: (text, _, part) => occurrences(text, word("count", part)),
  format: (text, budget, ...values) => {
    let next = 0;
    budget.spend(text.length); // as many fields as there may be
    for (const value of values) budget.write(word("format", value).length);
    return text.replace(/\{\{|\}\}|\{[^{}]*\}|\{/g, (field) => {
      if (field === "{{" || field === "}}") return field[0];
      if (field !== "{}" || next >= values.length) {
        throw new Error(`format() does not know ${field}`);
      }
      return word("format", values[next++]);
    });
  },
  isdigit: (text) => /^\p{Nd}+$/u.test(text),
  isspace: (text) => new RegExp(`^${SPACE.source}+$`).test(text),
  splitlines: (text, budget) => {
    // deno-lint-ignore no-control-regex
    const breaks = /\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]/;
    budget.spend(text.length / 4); // as many lines as there may be
    const lines = text.split(breaks);
    budget.spend(PIECE_STEPS * lines.length);
    if (lines.at(-1) === "") lines.pop();
    return lines;
  },
  rsplit: (text, budget, separator, limit = -1) => {
    const between = word("rsplit", separator);
    if (between === "") throw new Error("empty separator");
    budget.spend(PIECE_STEPS * occurrences(text, between));
    const parts = text.split(between);
    if (typeof limit !== "number") throw new Error("rsplit() takes a whole number as its limit");
    const joined = limit < 0 ? 0 : Math.max(0, parts.length - limit - 1);
    return [parts.slice(0, joined + 1).join(between), ...parts.slice(joined + 1)];
  },
};

/** Steps for a text that is cut out of another, with the value that holds it. */
const PIECE_STEPS = 4;

/** What the engine's own methods of a text make, to be counted before they do. */
const OWN_METHODS: Record<string, (text: string, budget: Budget, values: Value[]) => void> = {
  upper: (text, budget) => budget.write(text.length),
  lower: (text, budget) => budget.write(text.length),
  startswith: (text, budget, values) => countStarts(text, budget, values[0]),
  endswith: (text, budget, values) => countStarts(text, budget, values[0]),
  split: (text, budget, [separator]) => {
    const isText = isString(separator) && separator.value !== "";
    budget.read(text.length, isText ? separator.value.length : 0);
    const pieces = isText ? occurrences(text, separator.value) + 1 : text.length / 2;
    budget.spend(PIECE_STEPS * pieces);
  },
  replace: (text, budget, [old, other]) => countReplaced(text, budget, old, other),
};

function countStarts(text: string, budget: Budget, starts: Value | undefined): void {
  const all = isList(starts) ? starts.value : [starts];
  for (const start of all) {
    if (isString(start)) budget.read(Math.min(text.length, start.value.length));
    budget.spend(1);
  }
}

function countReplaced(
  text: string,
  budget: Budget,
  old: Value | undefined,
  other: Value | undefined,
): void {
  if (!isString(old) || !isString(other)) return;
  budget.read(text.length, old.value.length);
  const found = old.value === "" ? text.length + 1 : occurrences(text, old.value);
  budget.spend(found);
  budget.write(text.length + found * Math.max(0, other.value.length - old.value.length));
}

/** How often a text has a part, as Python counts it: an empty one stands at every place. */
function occurrences(text: string, part: string): number {
  if (part === "") return codePoints(text, text.length) + 1;
  let count = 0;
  for (let at = text.indexOf(part); at >= 0; at = text.indexOf(part, at + part.length)) count++;
  return count;
}

/**
 * A method of a text that counts what it costs; undefined where there is none, or it is an attribute that
 * costs nothing.
 */
export function stringMethod(text: string, name: string | null, budget: Budget): Value | undefined {
  if (name === null) return undefined;
  if (Object.hasOwn(STRING_METHODS, name)) {
    return wrap((...values: unknown[]) => {
      if (values.some((value) => value instanceof Map)) {
        throw new Error(`${name}() takes no keyword arguments`);
      }
      const part = values.find((value) => typeof value === "string")?.length ?? 0;
      budget.read(text.length, part / 32);
      return STRING_METHODS[name](text, budget, ...values);
    });
  }
  budget.spend(8); // the engine makes all its methods when it is asked for one
  const own = wrap(text).builtins.get(name);
  if (own?.type !== "FunctionValue" || !Object.hasOwn(OWN_METHODS, name)) return undefined;
  return preceded(own, (values) => OWN_METHODS[name](text, budget, values));
}

/** A filter of a text that is a method of it; undefined for one that the engine has right. */
export function filterMethod(text: string, name: string, budget: Budget): Value | undefined {
  if (name === "trim") return stringMethod(text, "strip", budget);
  if (name === "capitalize") return stringMethod(text, name, budget);
  if (name !== "title") return undefined;
  budget.spend(text.length);
  return wrap(() => text.replace(/[^-\s({[<]+/g, capitalized));
}

/** What a filter without arguments gives; undefined where the engine has it right. */
export function valueFilter(name: string, operand: Value, budget: Budget): Value | undefined {
  if (name === "string") return wrap(printed(operand, budget));
  if ((name === "first" || name === "last") && isList(operand) && operand.value.length === 0) {
    return wrap(undefined);
  }
  if (name === "int" && operand.type === "FloatValue") return wrap(Math.trunc(operand.value));
  if ((name === "min" || name === "max") && isNumbers(operand)) {
    return wrap(
      operand.value.map(({ value }: Value) => value)
        .reduce((a: number, b: number) => Math[name](a, b)),
    );
  }
  const number = isString(operand) ? decimal(operand.value) : null;
  if (name === "int" && number !== null) return wrap(Math.trunc(number));
  return undefined;
}

/** Filters that take what is not there for an empty text. */
const OF_NOTHING = ["trim", "upper", "lower", "capitalize", "title", "length", "join", "replace"];

/** A filter's operand in the form in which the engine's own filter is right. */
export function asOperand(name: string, operand: Value, budget: Budget): Value {
  if (operand.type === "UndefinedValue" && OF_NOTHING.includes(name)) return wrap("");
  if (name === "join" && isList(operand)) {
    return wrap(operand.value.map((item) => printed(item, budget)));
  }
  // It would take the digits that a text begins with for the number.
  const isNumber = (name === "int" || name === "float") && isString(operand);
  return isNumber && decimal(operand.value) === null ? wrap("") : operand;
}

/** Whether a test holds; undefined where the engine has it right. */
export function valueTest(name: string, { type }: Value): boolean | undefined {
  const single = ["NullValue", "BooleanValue", "IntegerValue", "FloatValue"];
  if (name === "iterable") return !single.includes(type);
  return name === "number" ? single.indexOf(type) > 0 : undefined;
}

/** The items of a list for which a condition holds. */
export function filtered(list: Value, holds: (item: Value) => boolean): Value {
  if (!Array.isArray(list.value)) throw new Error("selectattr and rejectattr take a list");
  const kept = wrap([]);
  for (const item of list.value) if (holds(item)) kept.value.push(item);
  return kept;
}

/** Whether a list holds whole numbers and nothing else. */
function isNumbers({ value }: Value): boolean {
  return Array.isArray(value) && value.length > 0 &&
    value.every(({ type }: Value) => type === "IntegerValue");
}

/** The number that a whole text is, or null. */
function decimal(text: string): number | null {
  const number = text.trim();
  return /^[-+]?(\d+(\.\d*)?|\.\d+)(e[-+]?\d+)?$/i.test(number) ? Number(number) : null;
}

function capitalized(text: string): string {
  const first = String.fromCodePoint(text.codePointAt(0) ?? 0);
  return text === "" ? "" : first.toUpperCase() + text.slice(first.length).toLowerCase();
}

/** A method of a mapping, which Python finds before a key of that name. */
export function dictionaryMethod(object: Value, name: string | null): Value | undefined {
  const isMethod = name !== null && ["get", "items", "keys", "values"].includes(name);
  return isMethod ? object.builtins.get(name) : undefined;
}

function strip(text: string, chars: unknown, left: boolean, right: boolean): string {
  if (chars !== undefined && chars !== null && typeof chars !== "string") {
    throw new Error("strip() takes the characters to strip as a text");
  }
  const set = typeof chars === "string" ? new Set(chars) : null;
  const goes = (character: string) => set ? set.has(character) : SPACE.test(character);
  let [start, end] = [0, text.length];
  while (left && start < end) {
    const character = String.fromCodePoint(text.codePointAt(start)!);
    if (!goes(character)) break;
    start += character.length;
  }
  while (right && end > start) {
    const isPair = end - start > 1 && text.codePointAt(end - 2)! > 0xffff;
    const character = text.slice(isPair ? end - 2 : end - 1, end);
    if (!goes(character)) break;
    end -= character.length;
  }
  return text.slice(start, end);
}

/** An argument that must be a text. */
function word(method: string, value: unknown): string {
  if (typeof value === "string") return value;
  throw new Error(`${method}() takes a text`);
}

/** A place in UTF-16 units as Python counts it. */
function codePoints(text: string, place: number): number {
  if (place < 0) return -1;
  let count = 0;
  for (let i = 0; i < place; i++) {
    if (i + 1 < place && text.codePointAt(i)! > 0xffff) i++;
    count++;
  }
  return count;
}
