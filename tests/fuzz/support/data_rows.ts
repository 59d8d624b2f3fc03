/**
 * Reads all rows of a data file as training does, for the targets of data formats.
 *
 * @module
 */

import { Dataset, type DatasetOptions } from "../../../src/data/dataset.ts";
import type { RawRow } from "../../../src/data/types.ts";
import { FalqonError } from "../../../src/errors.ts";
import { Nonsense } from "../frame/target.ts";
import { MemoryFiles } from "./memory_files.ts";

/** What was read of a file. */
export interface ReadRows {
  rows: RawRow[];
  /** The first row that could not be read, by its place. */
  firstBad: number | null;
  /** What was said of it. */
  error: FalqonError | null;
}

/** Files in memory, and rows of them. */
export class RowReader implements Disposable {
  readonly #files = new MemoryFiles();

  /**
   * The rows of a file, each also as an example.
   *
   * @param most The most bytes that come at once.
   * @throws What the file, not a row, is refused by.
   * @throws {Nonsense} if rows are not numbered as they stand, or the file stays open.
   */
  async read(
    name: string,
    bytes: Uint8Array,
    most: number,
    options: DatasetOptions = {},
  ): Promise<ReadRows> {
    const files = this.#files;
    files.files.set(name, bytes);
    files.most = most;
    const found: ReadRows = { rows: [], firstBad: null, error: null };
    try {
      const dataset = Dataset.from(name, options);
      for await (const rows of dataset.rawRows()) {
        for (const row of rows) {
          if (row.index !== found.rows.length) {
            throw new Nonsense(`row ${row.index} is numbered so`);
          }
          found.rows.push(row);
          try {
            dataset.parse(row);
          } catch (error) {
            if (!(error instanceof FalqonError)) throw error;
            found.firstBad ??= row.index;
            found.error ??= error;
          }
        }
      }
      return found;
    } finally {
      if (files.opened !== 0) {
        files.opened = 0;
        // deno-lint-ignore no-unsafe-finally
        throw new Nonsense("the file stays open");
      }
    }
  }

  [Symbol.dispose](): void {
    this.#files[Symbol.dispose]();
  }
}

/** Strict UTF-8, or null. */
export function decode(bytes: Uint8Array): string | null {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return null;
  }
}

/** The rows must be these, at these lines. */
export function expectRows(
  rows: readonly RawRow[],
  expected: readonly { line: number; text: string | null }[],
): void {
  if (rows.length !== expected.length) {
    throw new Nonsense(`${rows.length} rows were read, and there are ${expected.length}`);
  }
  rows.forEach(({ line, text }, i) => {
    if (text !== expected[i].text) {
      throw new Nonsense(
        `row ${i} is read as ${Deno.inspect(text)}, and is ${Deno.inspect(expected[i].text)}`,
      );
    }
    if (line !== expected[i].line) {
      throw new Nonsense(`row ${i} is said to be in line ${line}, and is in ${expected[i].line}`);
    }
  });
}
