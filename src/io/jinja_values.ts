/**
 * Values of the template engine as Python has them: how they print, compare and join. The engine
 * prints and compares them as JavaScript does.
 *
 * @module
 */

import { Environment } from "@huggingface/jinja";

/** A value at run time. */
export interface Value {
  /** Its class, such as `StringValue`. */
  readonly type: string;
  /** What it holds. */
  // deno-lint-ignore no-explicit-any
  readonly value: any;
  /** Its methods and attributes. */
  readonly builtins: ReadonlyMap<string, Value>;
}

/** The value of the engine for a JavaScript value. */
export function wrap(value: unknown): Value {
  return new Environment().set("value", value) as unknown as Value;
}

/** Whether a value is a text. */
export function isString(value: Value): value is Value & { value: string } {
  return value.type === "StringValue";
}

function isList({ type }: Value): boolean {
  return type === "ArrayValue" || type === "TupleValue";
}

function isNumber({ type }: Value): boolean {
  return type === "IntegerValue" || type === "FloatValue" || type === "BooleanValue";
}

/** The text of a value, as `str()` gives it. */
export function printed(value: Value): string {
  return isString(value) ? value.value : value.type === "UndefinedValue" ? "" : represented(value);
}

/** The text of a value within another, as `repr()` gives it. */
function represented(value: Value): string {
  switch (value.type) {
    case "NullValue":
      return "None";
    case "BooleanValue":
      return value.value ? "True" : "False";
    case "StringValue":
      return quoted(value.value);
    case "ArrayValue":
      return `[${value.value.map(represented).join(", ")}]`;
    case "TupleValue": {
      const items = value.value.map(represented);
      return items.length === 1 ? `(${items[0]},)` : `(${items.join(", ")})`;
    }
    case "ObjectValue": {
      const entries = [...value.value as Map<string, Value>];
      return `{${entries.map(([key, item]) => `${quoted(key)}: ${represented(item)}`).join(", ")}}`;
    }
    case "IntegerValue":
    case "FloatValue":
      return value.toString();
    default:
      throw new Error(`cannot print ${value.type}`);
  }
}

/** A text in quotes: Python prefers single ones. */
function quoted(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  const escapes: Record<string, string> = { "\n": "\\n", "\r": "\\r", "\t": "\\t", "\\": "\\\\" };
  const inner = text.replace(/[\n\r\t\\]/g, (character) => escapes[character])
    .replaceAll(quote, `\\${quote}`)
    // deno-lint-ignore no-control-regex
    .replace(/[\0-\x1f\x7f]/g, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, "0")}`);
  return quote + inner + quote;
}

/** Whether two values are equal: numbers and truth values by number, lists and mappings by content. */
export function equal(a: Value, b: Value): boolean {
  if (isNumber(a) && isNumber(b)) return Number(a.value) === Number(b.value);
  if (isList(a) && isList(b)) {
    return a.type === b.type && a.value.length === b.value.length &&
      a.value.every((item: Value, i: number) => equal(item, b.value[i]));
  }
  if (a.type !== b.type) return false;
  if (a.type !== "ObjectValue") return a.value === b.value;
  const [left, right] = [a.value as Map<string, Value>, b.value as Map<string, Value>];
  return left.size === right.size &&
    [...left].every(([key, item]) => right.has(key) && equal(item, right.get(key)!));
}

/** Whether a list holds a value; undefined for what is no list. */
export function contains(list: Value, value: Value): boolean | undefined {
  if (isList(list)) return list.value.some((item: Value) => equal(item, value));
  if (value.type !== "UndefinedValue" && list.type === "ObjectValue" && !isString(value)) {
    return false;
  }
  return undefined;
}

/**
 * The sum of two texts; undefined for what has none among them.
 *
 * @throws {Error} for a text and something else, which Python does not join.
 */
export function concatenated(a: Value, b: Value): string | undefined {
  if (isString(a) && isString(b)) return a.value + b.value;
  if (!isString(a) && !isString(b)) return undefined;
  const other = isString(a) ? b : a;
  throw new Error(`cannot join a text and ${kindOf(other)} by +`);
}

/** The remainder of whole numbers, which has the sign of the divisor; undefined for other values. */
export function remainder(a: Value, b: Value): number | undefined {
  if (isString(a)) throw new Error("% with a text on its left is not supported");
  if (a.type !== "IntegerValue" || b.type !== "IntegerValue") return undefined;
  return a.value - b.value * Math.floor(a.value / b.value);
}

function kindOf({ type }: Value): string {
  const names: Record<string, string> = {
    NullValue: "None",
    UndefinedValue: "an undefined value",
    IntegerValue: "a number",
    FloatValue: "a number",
    BooleanValue: "a truth value",
    ObjectValue: "a mapping",
  };
  return names[type] ?? "a list";
}
