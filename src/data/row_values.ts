/**
 * Values of a row, checked: strings, lists, token ids.
 *
 * @module
 */

import { DataError } from "../errors.ts";
import { parseJson } from "../io/json.ts";
import { IGNORED_LABEL } from "./types.ts";

/** A row: values by column. */
export type Row = Readonly<Record<string, unknown>>;

/** A value in a few words. */
export function describe(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  if (Array.isArray(value)) return value.length === 0 ? "an empty array" : "an array";
  if (typeof value === "object") return "an object";
  return `the ${typeof value} ${String(value).slice(0, 40)}`;
}

/** The string in a column. */
export function string(row: Row, key: string, where: string): string {
  const value = row[key];
  if (typeof value === "string") return value;
  throw new DataError(`Cannot read ${where}: "${key}" is ${describe(value)}; give a string`);
}

/**
 * The value of a column that holds a list or an object: tables and some data sets store it as
 * JSON text.
 */
export function structured(row: Row, key: string, where: string): unknown {
  const value = row[key];
  if (typeof value !== "string" || !/^\s*[[{]/.test(value)) return value;
  try {
    return parseJson(value);
  } catch (error) {
    throw new DataError(
      `Cannot read ${where}: "${key}" is text that looks like a list, but is not valid JSON ` +
        `(${(error as Error).message}); write it as JSON, as Python's json.dumps does`,
    );
  }
}

/** The objects in a column that holds a list of them. */
export function objects(row: Row, key: string, where: string): Record<string, unknown>[] {
  const value = structured(row, key, where);
  if (Array.isArray(value) && value.every((item) => typeof item === "object" && item !== null)) {
    return value;
  }
  throw new DataError(
    `Cannot read ${where}: "${key}" is ${describe(value)}; give an array of objects`,
  );
}

/**
 * A value without the null fields of objects in it, at any depth: columns of a table have the
 * fields of all rows, so null says that this row has none.
 */
export function withoutNulls<T>(value: T, where: string, depth = 0): T {
  if (depth > DEEPEST) {
    throw new DataError(
      `Cannot read ${where}: it is nested more than ${DEEPEST} levels deep; give it fewer`,
    );
  }
  const inner = (item: unknown) => withoutNulls(item, where, depth + 1);
  if (Array.isArray(value)) return value.map(inner) as T;
  if (typeof value !== "object" || value === null) return value;
  const fields = Object.entries(value).filter(([, field]) => field !== null && field !== undefined);
  return Object.fromEntries(fields.map(([name, field]) => [name, inner(field)])) as T;
}

/** Levels of lists and objects in a row, more than any tool's schema has. */
const DEEPEST = 200;

/** Columns in which 0 says that a token is no target, as TRL and others write them beside ids. */
export const TARGET_MASKS: readonly string[] = [
  ...["completion_mask", "assistant_masks", "assistant_mask", "loss_mask"],
];

/**
 * The ids of a row of ready-made tokens, and its labels: ids at both ends that the attention mask
 * covers are padding, and left out; where one of {@linkcode TARGET_MASKS} is 0, there is no label.
 *
 * @throws {DataError} for values that are no ids, or lists of different lengths.
 */
export function tokenRow(
  row: Row,
  where: string,
): { inputIds: ArrayLike<number>; labels: ArrayLike<number> | undefined } {
  const inputIds = tokenIds(row, "input_ids", where);
  let labels = row.labels === undefined ? undefined : tokenIds(row, "labels", where);
  if (labels && labels.length !== inputIds.length) {
    throw new DataError(
      `Cannot read ${where}: it has ${inputIds.length} input_ids and ${labels.length} labels; ` +
        "give one label per id",
    );
  }
  for (const key of TARGET_MASKS) {
    if (row[key] === undefined) continue;
    const mask = maskValues(row, key, inputIds.length, where);
    labels = Array.from(labels ?? inputIds, (label, i) => mask[i] === 0 ? IGNORED_LABEL : label);
  }
  if (row.attention_mask === undefined) return { inputIds, labels };
  const mask = maskValues(row, "attention_mask", inputIds.length, where);
  const [start, end] = unmasked(mask, inputIds.length, where);
  const cut = (values: ArrayLike<number>) => Array.prototype.slice.call(values, start, end);
  return { inputIds: cut(inputIds), labels: labels && cut(labels) };
}

function maskValues(row: Row, key: string, length: number, where: string): ArrayLike<number> {
  const mask = tokenIds(row, key, where);
  if (mask.length === length) return mask;
  throw new DataError(
    `Cannot read ${where}: it has ${length} input_ids and ${mask.length} values of ${key}; give ` +
      "one value per id",
  );
}

/** The range of a mask that is 1; everything else must be 0. */
function unmasked(mask: ArrayLike<number>, length: number, where: string): [number, number] {
  let start = 0;
  let end = length;
  while (start < end && mask[start] === 0) start++;
  while (end > start && mask[end - 1] === 0) end--;
  for (let i = start; i < end; i++) {
    if (mask[i] === 1) continue;
    throw new DataError(
      `Cannot read ${where}: "attention_mask" has ${mask[i]} at position ${i}, between tokens; ` +
        "give 1 for tokens and 0 for padding at the ends, and one row per document",
    );
  }
  return [start, end];
}

function tokenIds(row: Row, key: string, where: string): ArrayLike<number> {
  const value = structured(row, key, where);
  if (!Array.isArray(value) && !(ArrayBuffer.isView(value) && "length" in value)) {
    throw new DataError(
      `Cannot read ${where}: "${key}" is ${describe(value)}; give an array of token ids`,
    );
  }
  const numbers = value as ArrayLike<unknown>;
  for (let i = 0; i < numbers.length; i++) {
    const id = numbers[i];
    const isId = Number.isInteger(id) && id as number >= 0 && id as number < 2 ** 31;
    if (!isId && !(key === "labels" && id === IGNORED_LABEL)) {
      throw new DataError(
        `Cannot read ${where}: "${key}" has ${describe(id)}; give token ids` +
          (key === "labels" ? `, or ${IGNORED_LABEL} where the token is no target` : ""),
      );
    }
  }
  return numbers as ArrayLike<number>;
}
