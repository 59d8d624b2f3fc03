/**
 * What the template engine's own filters and slices cost, counted before they do it; and what they would
 * do in silence with arguments that they do not know.
 *
 * @module
 */

import type { Budget } from "./jinja_budget.ts";
import { isList, isMapping, isString, type Value, writtenSize } from "./jinja_values.ts";

/** The arguments of a filter. */
export interface FilterArguments {
  positional: Value[];
  named: ReadonlyMap<string, Value>;
}

/** Filters whose cost depends on their arguments. */
export const COUNTED_BY_ARGUMENTS: readonly string[] = ["indent", "join", "replace", "tojson"];

/** Steps for a value that is made. */
const VALUE_STEPS = 4;

/** Counts a filter of the engine. */
export function countFilter(
  name: string,
  operand: Value,
  { positional, named }: FilterArguments,
  budget: Budget,
): void {
  if (name === "tojson") {
    countJson(operand, named, budget);
  } else if (isString(operand)) {
    const { length } = operand.value;
    budget.read(length);
    if (name === "indent") {
      const width = sizeOf(positional[0] ?? named.get("width"), 4);
      budget.write(length + (lines(operand.value) + 1) * width);
    } else if (name === "join") {
      const between = textOf(positional[0] ?? named.get("separator"));
      budget.spend(VALUE_STEPS * length);
      budget.write(length * (1 + between.length));
    } else if (name === "replace" && positional.length > 1) {
      const [old, other] = positional.map(textOf);
      budget.read(length, old.length);
      const found = old === "" ? length + 1 : operand.value.split(old).length - 1;
      budget.write(length + found * other.length);
    }
  } else if (isList(operand)) {
    const { length } = operand.value;
    budget.spend(VALUE_STEPS * length);
    if (name === "sort") countSort(operand.value, budget);
    if (name === "join") {
      const between = textOf(positional[0] ?? named.get("separator"));
      const characters = operand.value.reduce((sum, item) => sum + textOf(item).length, 0);
      budget.write(characters + length * between.length);
    }
  } else if (isMapping(operand)) {
    budget.spend(2 * VALUE_STEPS * operand.value.size);
    if (name === "dictsort") countSort([...operand.value.values()], budget);
  }
}

/** Refuses what the engine's `join` would leave out in silence. */
export function expectJoinable({ positional, named }: FilterArguments): void {
  const unknown = [...named.keys()].find((name) => name !== "separator");
  if (positional.length <= 1 && unknown === undefined) return;
  throw new Error(`join() takes the text between the items only, not ${unknown ?? "an attribute"}`);
}

/**
 * Counts a slice, and refuses one that makes no way.
 *
 * @throws {Error} for a step of 0.
 */
export function countSlice(object: Value, step: Value, budget: Budget): void {
  if (step.value === 0) throw new Error("slice step cannot be zero");
  if (isString(object) || isList(object)) budget.spend(object.value.length);
}

function countJson(operand: Value, named: ReadonlyMap<string, Value>, budget: Budget): void {
  const { characters, values, levels } = writtenSize(operand, budget);
  const indent = sizeOf(named.get("indent"), 0);
  const separators = named.get("separators");
  const between = isList(separators)
    ? separators.value.reduce((sum, item) => sum + textOf(item).length, 0)
    : 4;
  budget.write(characters + values * (between + 4) + 2 * levels * indent);
}

/** Each comparison makes both texts lower case. */
function countSort(items: readonly Value[], budget: Budget): void {
  const rounds = 2 * Math.ceil(Math.log2(items.length + 1));
  budget.spend(VALUE_STEPS * rounds * items.length);
  for (const item of items) budget.read(rounds * textOf(item).length);
}

function textOf(value: Value | undefined): string {
  return isString(value) ? value.value : "";
}

function sizeOf(value: Value | undefined, otherwise: number): number {
  return typeof value?.value === "number" ? Math.max(0, value.value) : otherwise;
}

function lines(text: string): number {
  let count = 0;
  for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) count++;
  return count;
}
