/**
 * Methods, filters and tests that templates call, where the template engine has none or another than
 * Python and Jinja.
 *
 * @module
 */

import { isString, printed, type Value, wrap } from "./jinja_values.ts";

/** What Python takes for white space, by `str.isspace`. */
// deno-lint-ignore no-control-regex
const SPACE = /[\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]/;

type Method = (text: string, ...values: unknown[]) => unknown;

const STRING_METHODS: Record<string, Method> = {
  strip: (text, chars) => strip(text, chars, true, true),
  lstrip: (text, chars) => strip(text, chars, true, false),
  rstrip: (text, chars) => strip(text, chars, false, true),
  capitalize: (text) => capitalized(text),
  title: (text) => text.replace(/\p{L}+/gu, capitalized),
  removeprefix: (text, prefix) =>
    text.startsWith(word("removeprefix", prefix)) ? text.slice(word("", prefix).length) : text,
  removesuffix: (text, suffix) => {
    const end = word("removesuffix", suffix);
    return end !== "" && text.endsWith(end) ? text.slice(0, -end.length) : text;
  },
  find: (text, part) => codePoints(text, text.indexOf(word("find", part))),
  rfind: (text, part) => codePoints(text, text.lastIndexOf(word("rfind", part))),
  count: (text, part) => text.split(word("count", part)).length - 1,
  format: (text, ...values) => {
    let next = 0;
    return text.replace(/\{\{|\}\}|\{[^}]*\}|\{/g, (field) => {
      if (field === "{{" || field === "}}") return field[0];
      if (field !== "{}" || next >= values.length) {
        throw new Error(`format() does not know ${field}`);
      }
      return word("format", values[next++]);
    });
  },
  isdigit: (text) => /^\p{Nd}+$/u.test(text),
  isspace: (text) => text !== "" && [...text].every((character) => SPACE.test(character)),
  splitlines: (text) => {
    // deno-lint-ignore no-control-regex
    const lines = text.split(/\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]/);
    if (lines.at(-1) === "") lines.pop();
    return lines;
  },
  rsplit: (text, separator, limit = -1) => {
    const parts = text.split(word("rsplit", separator));
    if (typeof limit !== "number") throw new Error("rsplit() takes a whole number as its limit");
    const joined = limit < 0 ? 0 : Math.max(0, parts.length - limit - 1);
    return [parts.slice(0, joined + 1).join(String(separator)), ...parts.slice(joined + 1)];
  },
};

/** A method of a text; undefined where the engine's own is right, or there is none. */
export function stringMethod(text: string, name: string | null): Value | undefined {
  if (name === null || !Object.hasOwn(STRING_METHODS, name)) return undefined;
  return wrap((...values: unknown[]) => {
    if (values.some((value) => value instanceof Map)) {
      throw new Error(`${name}() takes no keyword arguments`);
    }
    return STRING_METHODS[name](text, ...values);
  });
}

/** A filter of a text that is a method of it; undefined for one that the engine has right. */
export function filterMethod(text: string, name: string): Value | undefined {
  if (name === "trim") return stringMethod(text, "strip");
  if (name === "capitalize") return stringMethod(text, name);
  if (name !== "title") return undefined;
  return wrap(() => text.replace(/[^-\s({[<]+/g, capitalized));
}

/** What a filter without arguments gives; undefined where the engine has it right. */
export function valueFilter(name: string, operand: Value): Value | undefined {
  if (name === "string") return wrap(printed(operand));
  if (name === "int" && operand.type === "FloatValue") return wrap(Math.trunc(operand.value));
  if ((name === "min" || name === "max") && isNumbers(operand)) {
    return wrap(Math[name](...operand.value.map(({ value }: Value) => value)));
  }
  const number = isString(operand) ? decimal(operand.value) : null;
  if (name === "int" && number !== null) return wrap(Math.trunc(number));
  return undefined;
}

/** Filters that take what is not there for an empty text. */
const OF_NOTHING = ["trim", "upper", "lower", "capitalize", "title", "length", "join", "replace"];

/** A filter's operand in the form in which the engine's own filter is right. */
export function asOperand(name: string, operand: Value): Value {
  if (operand.type === "UndefinedValue" && OF_NOTHING.includes(name)) return wrap("");
  if (name === "join" && Array.isArray(operand.value)) return wrap(operand.value.map(printed));
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
  kept.value.push(...list.value.filter(holds));
  return kept;
}

/** Whether a list holds whole numbers and nothing else. */
function isNumbers({ value }: Value): boolean {
  return Array.isArray(value) && value.length > 0 &&
    value.every(({ type }: Value) => type === "IntegerValue");
}

/** The number that a whole text is, or null. */
function decimal(text: string): number | null {
  return /^\s*[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?\s*$/i.test(text) ? Number(text) : null;
}

function capitalized(text: string): string {
  const [first = "", ...rest] = text;
  return first.toUpperCase() + rest.join("").toLowerCase();
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
  const characters = [...text];
  let [start, end] = [0, characters.length];
  while (left && start < end && goes(characters[start])) start++;
  while (right && end > start && goes(characters[end - 1])) end--;
  return characters.slice(start, end).join("");
}

/** An argument that must be a text. */
function word(method: string, value: unknown): string {
  if (typeof value === "string") return value;
  throw new Error(`${method}() takes a text`);
}

/** A place in UTF-16 units as Python counts it. */
function codePoints(text: string, place: number): number {
  return place < 0 ? -1 : [...text.slice(0, place)].length;
}
