/**
 * A dataset is a recipe for reading rows, once for each epoch; it holds none.
 *
 * @module
 */

import { checkInteger, checkText, refuseKind } from "../checks.ts";
import { OptionError } from "../errors.ts";
import { hash32 } from "../numerics/random.ts";
import type { DataFile } from "./bytes.ts";
import {
  checkDatasetOptions,
  checkWeights,
  DATASET_NAMES,
  type DatasetOptions,
  type DataSource,
  type FileDatasetDescriptor,
  OPEN_DATASET_NAMES,
  type OpenDatasetOptions,
  type SplitSide,
} from "./dataset_options.ts";
import { type FileGroup, readGroups, timesRead } from "./file_mix.ts";
import { parseRow } from "./parse_row.ts";
import { iterateRows, type RowIterable } from "./row_objects.ts";
import { findFiles, pathOfUrl, STANDARD_INPUT } from "./sources.ts";
import type { Example, RawRow } from "./types.ts";

export type {
  DatasetOptions,
  DataSource,
  FileDatasetDescriptor,
  OpenDatasetOptions,
} from "./dataset_options.ts";
export type { RowIterable } from "./row_objects.ts";

/** Files, or rows that the program has itself. */
type Source = readonly FileGroup[] | { rows: RowIterable | (() => RowIterable) };

/** A stream of data rows that can be read again in each epoch. */
export class Dataset {
  readonly #source: Source;
  readonly #options: DatasetOptions;
  readonly #selections: readonly SplitSide[];

  private constructor(
    source: Source,
    options: DatasetOptions,
    selections: readonly SplitSide[],
  ) {
    this.#source = source;
    this.#options = options;
    this.#selections = selections;
  }

  /**
   * A dataset over a file or over rows in memory. Nothing is read yet. A file may be compressed by
   * gzip or Zstandard. Parquet is told by its first bytes; a name that ends in `.csv`, `.tsv` or
   * `.txt`, or a `separator`, makes a table or text of a file. All others are JSON: an array if the
   * first character is `[`, otherwise lines.
   *
   * @example
   * ```ts
   * import { Dataset } from "@falqon/webgpu";
   *
   * const data = Dataset.from("./train.jsonl");
   * const columns = { prompt: "question", completion: "answer" };
   * const maths = Dataset.from("./gsm8k.parquet", { columns });
   * const stories = Dataset.from("./stories.txt.gz", { separator: "<|endoftext|>" });
   * ```
   *
   * @throws {OptionError} on an unknown option, an empty separator, an unknown key in `columns`, or a
   * source of another type.
   */
  static from(source: DataSource, options: DatasetOptions = {}): Dataset {
    checkDatasetOptions("Dataset.from", options, DATASET_NAMES);
    if (typeof source === "string") checkText("data", source);
    const address = typeof source === "string" && /^(https?|file):\/\//i.test(source);
    if (address || source instanceof URL) {
      return new Dataset(oneFile(pathOfUrl(source)), options, []);
    }
    if (typeof source === "string") return new Dataset(oneFile(source), options, []);
    const iterable = typeof source === "object" && source !== null &&
      (Symbol.iterator in source || Symbol.asyncIterator in source);
    if (typeof source !== "function" && !iterable) {
      throw new OptionError(
        `Cannot read data from a source of type ${typeof source}: give a path, an iterable of ` +
          "rows, or a function that returns one",
      );
    }
    return new Dataset({ rows: source }, options, []);
  }

  /**
   * A dataset over everything that the names stand for, as `--data` of the command line takes them:
   * files, folders (of which the split `train` is read, or that after a colon), patterns, `https:`
   * addresses, which are downloaded, and `-` for standard input. Under shuffling, the rows of
   * several names come mixed from the start.
   *
   * @param names One, or several; names in a list within the list are one as to weights.
   * @example
   * ```ts
   * import { Dataset } from "@falqon/webgpu";
   *
   * const names = ["./train.jsonl", "./examples/tiny/*_train.jsonl"];
   * const data = await Dataset.open(names, { weights: [2, 0.5] });
   * ```
   *
   * @throws {FileError} when there is nothing to read under a name.
   * @throws {OptionError} on an option that is unknown or out of range, or other than one weight for each
   * name.
   */
  static async open(
    names: string | readonly (string | readonly string[])[],
    given: OpenDatasetOptions = {},
  ): Promise<Dataset> {
    checkDatasetOptions("Dataset.open", given, OPEN_DATASET_NAMES);
    const { weights, onNotice, signal, stdin, ...options } = given;
    const list = typeof names === "string" ? [names] : names;
    if (!Array.isArray(list)) refuseKind("data", list, "a name, or a list of names");
    const flat: string[] = list.flat();
    if (flat.length === 0) throw new OptionError("Cannot open data without a name: give one");
    for (const name of flat) checkText("data", name);
    checkWeights(weights, list.length);
    if (flat.filter((name) => name === STANDARD_INPUT).length > 1) {
      throw new OptionError("Cannot read standard input twice: name - once");
    }
    const groups: FileGroup[] = [];
    for (const [i, name] of list.entries()) {
      const files: DataFile[] = [];
      for (const part of [name].flat()) {
        files.push(...await findFiles(part, { onNotice, signal, stdin }));
      }
      groups.push({ files, weight: weights?.[i] ?? 1 });
    }
    return new Dataset(groups, options, []);
  }

  /**
   * Makes sure that something is a dataset.
   *
   * @throws {OptionError} if it is none.
   * @internal
   */
  static expect(data: Dataset): void {
    if (!(data instanceof Dataset)) {
      refuseKind("data", data, "a dataset of Dataset.from or Dataset.open");
    }
  }

  /**
   * The dataset that another thread described.
   *
   * @internal
   */
  static fromDescriptor({ groups, options, selections }: FileDatasetDescriptor): Dataset {
    return new Dataset(groups, options, selections);
  }

  /**
   * What another thread needs to read the same rows, or null when the source is not a file.
   *
   * @internal
   */
  get descriptor(): FileDatasetDescriptor | null {
    if ("rows" in this.#source) return null;
    return {
      groups: [...this.#source],
      options: this.#options,
      selections: [...this.#selections],
    };
  }

  /**
   * The rows and how they are read, where they are an array of the program's own; else null.
   *
   * @internal
   */
  get memory(): { rows: readonly unknown[]; recipe: object } | null {
    if (!("rows" in this.#source) || !Array.isArray(this.#source.rows)) return null;
    const recipe = { options: this.#options, selections: this.#selections };
    return { rows: this.#source.rows, recipe };
  }

  /** Whether the rows can be read as often as wanted: those of an iterator can be read only once. */
  get rereadable(): boolean {
    return !("rows" in this.#source) || !("next" in this.#source.rows);
  }

  /** The path, the number of files, or "the data" when the source is not a file; for messages. */
  get name(): string {
    const files = this.#files;
    if (files === null) return "the data";
    return files.length === 1 ? files[0].name : `${files[0].name} and ${files.length - 1} more`;
  }

  /**
   * How several files are joined, which decides the order of rows; empty for one.
   *
   * @internal
   */
  get mixture(): string {
    const source = this.#source;
    if ("rows" in source || (source.length === 1 && source[0].files.length === 1)) return "";
    const parts = source.map(({ files, weight }) => `${files.length} files × ${weight}`);
    return `, data of ${parts.join(" and ")}`;
  }

  /** Whether these are the rows that a split held out. */
  get isHeldOut(): boolean {
    return this.#selections.some(({ held }) => held);
  }

  /**
   * Two disjoint datasets that together hold every row. A hash of the row's
   * index decides, so the sides do not depend on the order of reading and
   * nothing has to be counted first. Held-out rows are read once, whatever their weight.
   *
   * @param fraction Expected share of rows held out, between 0 and 1.
   * @param seed Chooses another split.
   * @throws {OptionError} when the fraction is not between 0 and 1, or the seed no whole number.
   */
  split(fraction: number, seed = 0): { train: Dataset; heldOut: Dataset } {
    if (typeof fraction !== "number") {
      refuseKind("a fraction of the rows", fraction, "a number between 0 and 1");
    }
    if (!(fraction > 0 && fraction < 1)) {
      throw new OptionError(
        `Cannot hold out the fraction ${fraction} of the rows: give a number between 0 and 1`,
      );
    }
    checkInteger("seed", seed, 0);
    const side = (held: boolean) =>
      new Dataset(this.#source, this.#options, [...this.#selections, { fraction, seed, held }]);
    return { train: side(false), heldOut: side(true) };
  }

  /**
   * The rows, unparsed, in the order of the source, in arrays of any size.
   *
   * @param epoch Decides which rows a weight below 1 leaves out this time.
   * @param interleave Read groups of files side by side.
   * @throws {FileError} when the file cannot be read.
   * @throws {DataError} when the file cannot be cut into rows, or the source was already used up.
   * @internal
   */
  async *rawRows(
    { epoch = 0, interleave = false }: { epoch?: number; interleave?: boolean } = {},
  ): AsyncGenerator<RawRow[], void, void> {
    const source = this.#source;
    const chunks = "rows" in source
      ? iterateRows(source.rows)
      : readGroups(source, this.#options, interleave);
    const weights = "rows" in source || this.isHeldOut
      ? []
      : source.flatMap(({ files, weight }) => files.map(() => weight));
    const plain = this.#selections.length === 0 && weights.every((weight) => weight === 1);
    for await (const rows of chunks) {
      const selected = plain ? rows : rows.filter((row) => this.#selects(row)).flatMap((row) => {
        const times = timesRead(weights[row.file ?? 0] ?? 1, row, epoch);
        return Array.from({ length: times }, () => row);
      });
      if (selected.length > 0) yield selected;
    }
  }

  /**
   * What a raw row means.
   *
   * @param onUnused Is told of columns that look like data and are not used.
   * @throws {DataError} when the row is malformed or of no known format.
   * @internal
   */
  parse(row: RawRow, onUnused?: (columns: string[]) => void): Example {
    const { columns = {} } = this.#options;
    return parseRow(row, columns, this.locate(row), onUnused);
  }

  /**
   * The name of a row in messages: `train.jsonl line 7`, or `the data row 6` (counted from 0).
   *
   * @internal
   */
  locate(row: RawRow): string {
    const name = this.#files?.[row.file ?? 0].name ?? this.name;
    return row.line > 0 ? `${name} line ${row.line}` : `${name} row ${row.index}`;
  }

  get #files(): DataFile[] | null {
    return "rows" in this.#source ? null : this.#source.flatMap(({ files }) => files);
  }

  #selects({ index, file = 0 }: RawRow): boolean {
    // The depth enters the hash, so that a split of a split is not the same one again.
    return this.#selections.every(({ fraction, seed, held }, depth) =>
      (hash32(seed + file * 2 ** 32, index * 16 + depth) < fraction * 2 ** 32) === held
    );
  }
}

function oneFile(path: string): FileGroup[] {
  return [{ files: [{ path, name: path }], weight: 1 }];
}
