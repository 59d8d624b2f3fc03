/**
 * Rows that the program itself holds or produces.
 *
 * @module
 */

import { DataError } from "../errors.ts";
import type { RawRow } from "./types.ts";

/** Row objects held or produced by the program itself. */
export type RowIterable =
  | Iterable<Record<string, unknown>>
  | AsyncIterable<Record<string, unknown>>;

/** Sources that were read, wholly or in part, and cannot be read again. */
const usedUp = new WeakSet<object>();

/**
 * The rows of an iterable, or of the one that a function makes.
 *
 * @throws {DataError} when the iterable can be read only once and was.
 */
export async function* iterateRows(
  source: RowIterable | (() => RowIterable),
): AsyncGenerator<RawRow[], void, void> {
  const rows = typeof source === "function" ? source() : source;
  const iterator = Symbol.asyncIterator in rows
    ? rows[Symbol.asyncIterator]()
    : rows[Symbol.iterator]();
  if ((iterator as unknown) === rows) {
    if (usedUp.has(rows)) {
      throw new DataError(
        "Cannot read the data again: it is an iterator that was already read; give an array, or " +
          "a function that makes a new iterator for each epoch and split",
      );
    }
    usedUp.add(rows);
  }
  let index = 0;
  for await (const value of rows) yield [{ index: index++, line: 0, text: null, value }];
}
