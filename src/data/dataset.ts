/**
 * A dataset is a recipe for reading rows, once for each epoch; it holds none.
 *
 * @module
 */

import { fileURLToPath } from "node:url";
import { DataError, OptionError } from "../errors.ts";
import { type FileFormat, readFileRows } from "./file_rows.ts";
import { hash32 } from "../numerics/random.ts";
import { checkColumnMap, type ColumnMap, recognise } from "./row_format.ts";
import type { Example, RawRow } from "./types.ts";

/** Row objects held or produced by the program itself. */
export type RowIterable =
  | Iterable<Record<string, unknown>>
  | AsyncIterable<Record<string, unknown>>;

/**
 * Where rows come from: the path or `file:` URL of a JSONL file, a JSON array
 * or a text file; or row objects. An iterable that can be read only once, such
 * as a generator, lasts one epoch: give a function that makes it instead.
 */
export type DataSource = string | URL | RowIterable | (() => RowIterable);

/** Options of {@linkcode Dataset.from}. */
export interface DatasetOptions {
  /**
   * The text between two records of a text file; by default blank lines. With a separator any file
   * is read as text.
   */
  separator?: string;
  /** Columns that hold the known keys, for rows that name them differently. */
  columns?: ColumnMap;
}

/** One side of a split: the rows held out, or the others. */
export interface SplitSide {
  /** Expected share of rows held out. */
  fraction: number;
  /** Chooses the split. */
  seed: number;
  /** Whether this side has the rows held out. */
  held: boolean;
}

/** All that a worker needs to read the same rows; it can be posted. */
export interface FileDatasetDescriptor {
  /** Path of the file. */
  path: string;
  /** Options as given to {@linkcode Dataset.from}. */
  options: DatasetOptions;
  /** The sides of splits taken, outermost first. */
  selections: SplitSide[];
}

/** A stream of data rows that can be read again in each epoch. */
export class Dataset {
  readonly #source: string | RowIterable | (() => RowIterable);
  readonly #options: DatasetOptions;
  readonly #columns: ColumnMap;
  readonly #selections: readonly SplitSide[];

  private constructor(
    source: string | RowIterable | (() => RowIterable),
    options: DatasetOptions,
    selections: readonly SplitSide[],
  ) {
    this.#source = source;
    this.#options = options;
    this.#columns = options.columns ?? {};
    this.#selections = selections;
  }

  /**
   * A dataset over a source. Nothing is read yet. A file whose name ends in
   * `.txt`, or any with a `separator`, is text. All others are JSON: an array if
   * the first character is `[`, otherwise lines.
   *
   * @example
   * ```ts
   * import { Dataset } from "@falqon/webgpu";
   *
   * const data = Dataset.from("./train.jsonl");
   * const columns = { prompt: "question", completion: "answer" };
   * const maths = Dataset.from("./gsm8k.jsonl", { columns });
   * const stories = Dataset.from("./stories.txt", { separator: "<|endoftext|>" });
   * ```
   *
   * @throws {OptionError} on an empty separator, an unknown key in `columns`, or a source of
   * another type.
   */
  static from(source: DataSource, options: DatasetOptions = {}): Dataset {
    if (options.separator === "") {
      throw new OptionError(
        "Cannot use the empty string as separator: give the text between two records, or leave " +
          "it out for blank lines",
      );
    }
    checkColumnMap(options.columns ?? {});
    if (source instanceof URL) {
      if (source.protocol !== "file:") {
        throw new OptionError(
          `Cannot read data from ${source.href}: only file: URLs can be read; download it first`,
        );
      }
      return new Dataset(fileURLToPath(source), options, []);
    }
    const iterable = typeof source === "object" && source !== null &&
      (Symbol.iterator in source || Symbol.asyncIterator in source);
    if (typeof source !== "string" && typeof source !== "function" && !iterable) {
      throw new OptionError(
        `Cannot read data from a source of type ${typeof source}: give a path, an iterable of ` +
          "rows, or a function that returns one",
      );
    }
    return new Dataset(source, options, []);
  }

  /**
   * The dataset that another thread described.
   *
   * @internal
   */
  static fromDescriptor(descriptor: FileDatasetDescriptor): Dataset {
    return new Dataset(descriptor.path, descriptor.options, descriptor.selections);
  }

  /**
   * What another thread needs to read the same rows, or null when the source is not a file.
   *
   * @internal
   */
  get descriptor(): FileDatasetDescriptor | null {
    if (typeof this.#source !== "string") return null;
    return {
      path: this.#source,
      options: this.#options,
      selections: [...this.#selections],
    };
  }

  /**
   * The files in the order of reading, or null when the source is not a file.
   *
   * @internal
   */
  get files(): readonly string[] | null {
    return typeof this.#source === "string" ? [this.#source] : null;
  }

  /**
   * Which rows of the source these are, as a word: that of another split differs.
   *
   * @internal
   */
  get selection(): string {
    return JSON.stringify(this.#selections);
  }

  /** The path, or "the data" when the source is not a file; used in messages. */
  get name(): string {
    return typeof this.#source === "string" ? this.#source : "the data";
  }

  /**
   * Two disjoint datasets that together hold every row. A hash of the row's
   * index decides, so the sides do not depend on the order of reading and
   * nothing has to be counted first.
   *
   * @param fraction Expected share of rows held out, between 0 and 1.
   * @param seed Chooses another split.
   * @throws {OptionError} when the fraction is not between 0 and 1.
   */
  split(fraction: number, seed = 0): { train: Dataset; heldOut: Dataset } {
    if (!(fraction > 0 && fraction < 1)) {
      throw new OptionError(
        `Cannot hold out the fraction ${fraction} of the rows: give a number between 0 and 1`,
      );
    }
    const side = (held: boolean) =>
      new Dataset(this.#source, this.#options, [...this.#selections, { fraction, seed, held }]);
    return { train: side(false), heldOut: side(true) };
  }

  /**
   * The rows, unparsed, in the order of the source, in arrays of any size.
   *
   * @throws {FileError} when the file cannot be read.
   * @throws {DataError} when the file cannot be cut into rows, or the source was already used up.
   * @internal
   */
  async *rawRows(): AsyncGenerator<RawRow[], void, void> {
    const chunks = typeof this.#source === "string"
      ? readFileRows(this.#source, this.#fileFormat(this.#source))
      : iterateRows(this.#source);
    for await (const rows of chunks) {
      const selected = this.#selections.length === 0
        ? rows
        : rows.filter((row) => this.#selects(row.index));
      if (selected.length > 0) yield selected;
    }
  }

  /**
   * What a raw row means.
   *
   * @throws {DataError} when the row is malformed or of no known format.
   * @internal
   */
  parse(row: RawRow): Example {
    const where = this.locate(row);
    if (row.value !== undefined) return recognise(row.value, this.#columns, where);
    if (row.text === null) {
      throw new DataError(`Cannot read ${where}: it is not valid UTF-8; convert the file to UTF-8`);
    }
    if (typeof this.#source === "string" && this.#fileFormat(this.#source).kind === "text") {
      return { kind: "text", text: row.text.trim().replaceAll("\r\n", "\n") };
    }
    return recognise(parseJson(row.text, where), this.#columns, where);
  }

  /**
   * The name of a row in messages: `train.jsonl line 7`, or `the data row 6` (counted from 0).
   *
   * @internal
   */
  locate(row: RawRow): string {
    return row.line > 0 ? `${this.name} line ${row.line}` : `${this.name} row ${row.index}`;
  }

  #fileFormat(path: string): FileFormat {
    const { separator } = this.#options;
    return separator !== undefined || path.toLowerCase().endsWith(".txt")
      ? { kind: "text", separator }
      : { kind: "json" };
  }

  #selects(index: number): boolean {
    // The depth enters the hash, so that a split of a split is not the same one again.
    return this.#selections.every(({ fraction, seed, held }, depth) =>
      (hash32(seed, index * 16 + depth) < fraction * 2 ** 32) === held
    );
  }
}

/** Sources that were read, wholly or in part, and cannot be read again. */
const usedUp = new WeakSet<object>();

async function* iterateRows(
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

function parseJson(text: string, where: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    // V8 appends a line and a column, counted from the start of the row.
    const reason = (error as Error).message.replace(/ \(line \d+ column \d+\)$/, "");
    throw new DataError(
      `Cannot read ${where}: it is not valid JSON (${reason}); correct the row or skip bad rows`,
    );
  }
}
