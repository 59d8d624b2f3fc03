/**
 * Values of the template engine as Python has them: how they print, compare and join. The engine
 * prints and compares them as JavaScript does.
 *
 * @module
 */

import { Environment } from "@huggingface/jinja";
import { type Budget, DEEPEST } from "./jinja_budget.ts";

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

/** What a name that nothing has stands for. */
export const UNDEFINED: Value = wrap(undefined);

/** What a function of the engine does: takes values and where they are, and gives one. */
type Call = (values: Value[], environment: Environment) => Value;
const FunctionValue = wrap(() => null).constructor as new (call: Call) => Value;

/** A function that does something else before a function of the engine. */
export function preceded(method: Value, before: (values: Value[]) => void): Value {
  return new FunctionValue((values, environment) => {
    before(values);
    return method.value(values, environment);
  });
}

/** A text. */
export interface Text extends Value {
  readonly value: string;
}

/** A list or a tuple. */
export interface List extends Value {
  readonly value: Value[];
}

/** What maps names to values. */
export interface Mapping extends Value {
  readonly value: Map<string, Value>;
}

/** Whether a value is a text. */
export function isString(value: Value | undefined): value is Text {
  return value?.type === "StringValue";
}

/** Whether a value is a list or a tuple. */
export function isList(value: Value | undefined): value is List {
  return value?.type === "ArrayValue" || value?.type === "TupleValue";
}

/** Whether a value maps names to values. */
export function isMapping(value: Value | undefined): value is Mapping {
  return value?.type === "ObjectValue" || value?.type === "NamespaceValue";
}

function isNumber({ type }: Value): boolean {
  return type === "IntegerValue" || type === "FloatValue" || type === "BooleanValue";
}

/** The text of a value, as `str()` gives it. */
export function printed(value: Value, budget: Budget): string {
  if (isString(value)) return value.value;
  return value.type === "UndefinedValue" ? "" : represented(value, budget, 0);
}

/** The text of a value within another, as `repr()` gives it. */
function represented(value: Value, budget: Budget, depth: number): string {
  if (depth > DEEPEST) throw tooDeep();
  budget.spend(1);
  const inner = (item: Value) => represented(item, budget, depth + 1);
  const counted = (text: string) => {
    budget.write(text.length);
    return text;
  };
  switch (value.type) {
    case "NullValue":
      return "None";
    case "BooleanValue":
      return value.value ? "True" : "False";
    case "StringValue":
      budget.write(value.value.length);
      return quoted(value.value);
    case "ArrayValue":
      return counted(`[${value.value.map(inner).join(", ")}]`);
    case "TupleValue": {
      const items = value.value.map(inner);
      return counted(items.length === 1 ? `(${items[0]},)` : `(${items.join(", ")})`);
    }
    case "ObjectValue": {
      const entries = [...value.value as Map<string, Value>];
      return counted(
        `{${entries.map(([key, item]) => `${quoted(key)}: ${inner(item)}`).join(", ")}}`,
      );
    }
    case "IntegerValue":
    case "FloatValue":
      return value.toString();
    default:
      throw new Error(`cannot print ${value.type}`);
  }
}

/** The size of a value as it is written out, an upper bound of it. */
export interface WrittenSize {
  /** Characters of texts and numbers, each at its longest in JSON. */
  characters: number;
  /** Values within values. */
  values: number;
  /** Levels of them, for each value within: what it is indented by. */
  levels: number;
}

/** Measures a value before it is written as JSON; the same list may stand in it many times. */
export function writtenSize(value: Value, budget: Budget): WrittenSize {
  const size: WrittenSize = { characters: 0, values: 0, levels: 0 };
  const walk = (item: Value, depth: number) => {
    if (depth > DEEPEST) throw tooDeep();
    budget.spend(1);
    size.values++;
    size.levels += depth + 1;
    if (isString(item)) size.characters += 6 * item.value.length + 2;
    else if (isList(item)) { for (const part of item.value) walk(part, depth + 1); }
    else if (isMapping(item)) {
      for (const [key, part] of item.value) {
        size.characters += 6 * key.length + 2;
        walk(part, depth + 1);
      }
    } else size.characters += 24;
  };
  walk(value, 0);
  return size;
}

function tooDeep(): Error {
  return new Error(`lists or mappings stand more than ${DEEPEST} levels deep in each other`);
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
export function equal(a: Value, b: Value, budget: Budget, depth = 0): boolean {
  if (depth > DEEPEST) throw tooDeep();
  budget.spend(1);
  if (isNumber(a) && isNumber(b)) return Number(a.value) === Number(b.value);
  if (isList(a) && isList(b)) {
    return a.type === b.type && a.value.length === b.value.length &&
      a.value.every((item, i) => equal(item, b.value[i], budget, depth + 1));
  }
  if (a.type !== b.type) return false;
  if (isString(a)) budget.read(Math.min(a.value.length, b.value.length));
  if (a.type !== "ObjectValue") return a.value === b.value;
  const [left, right] = [a.value as Map<string, Value>, b.value as Map<string, Value>];
  return left.size === right.size &&
    [...left].every(([key, item]) =>
      right.has(key) && equal(item, right.get(key)!, budget, depth + 1)
    );
}

/** Whether a list holds a value; undefined for what is no list. */
export function contains(list: Value, value: Value, budget: Budget): boolean | undefined {
  if (isList(list)) return list.value.some((item) => equal(item, value, budget));
  if (value.type !== "UndefinedValue" && list.type === "ObjectValue" && !isString(value)) {
    return false;
  }
  if (isString(list) && isString(value)) budget.read(list.value.length, value.value.length / 32);
  return undefined;
}

/**
 * The sum of two texts; undefined for what has none among them.
 *
 * @throws {Error} for a text and something else, which Python does not join.
 */
export function concatenated(a: Value, b: Value, budget: Budget): string | undefined {
  if (isList(a) && isList(b)) budget.spend(a.value.length + b.value.length);
  if (!isString(a) && !isString(b)) return undefined;
  if (isString(a) && isString(b)) {
    budget.write(a.value.length + b.value.length);
    return a.value + b.value;
  }
  const other = isString(a) ? b : a;
  throw new Error(`cannot join a text and ${kindOf(other)} by +`);
}

/**
 * The remainder of whole numbers, which has the sign of the divisor; undefined for other values.
 *
 * @throws {Error} for a divisor of 0, by which the engine divides.
 */
export function remainder(a: Value, b: Value): number | undefined {
  if (isString(a)) throw new Error("% with a text on its left is not supported");
  expectDivisor(a, b);
  if (a.type !== "IntegerValue" || b.type !== "IntegerValue") return undefined;
  return a.value - b.value * Math.floor(a.value / b.value);
}

/** Makes sure that a number can be divided by another. */
export function expectDivisor(a: Value, b: Value): void {
  if (isNumber(a) && isNumber(b) && Number(b.value) === 0) throw new Error("division by zero");
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
