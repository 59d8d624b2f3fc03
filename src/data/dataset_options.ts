/**
 * Options of datasets, and what describes one to another thread.
 *
 * @module
 */

import {
  checkList,
  checkObject,
  checkOneOf,
  checkOptions,
  checkString,
  type Names,
  refuseValue,
} from "../checks.ts";
import { OptionError } from "../errors.ts";
import { checkColumnMap, type ColumnMap } from "./column_map.ts";
import { DATA_FORMATS, type DataFormat } from "./file_kind.ts";
import type { FileGroup } from "./file_mix.ts";
import type { RowIterable } from "./row_objects.ts";
import type { FindOptions } from "./sources.ts";

/**
 * Where rows come from: the path or `file:` URL of a file, or row objects. An iterable that can be
 * read only once, such as a generator, lasts one epoch: give a function that makes it instead.
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
  /**
   * The format of files whose first bytes and name do not tell it: `json` (lines or an array), `csv`,
   * `tsv` or `text`.
   */
  format?: DataFormat;
}

/** Options of {@linkcode Dataset.open}. */
export interface OpenDatasetOptions extends DatasetOptions, FindOptions {
  /**
   * How often each row is read in an epoch, one number for each name: 1, as without it, is once, 2
   * twice, 0.5 in every second epoch.
   */
  weights?: readonly number[];
}

/** The names of {@linkcode DatasetOptions}. */
export const DATASET_NAMES: Names<DatasetOptions> = {
  separator: true,
  columns: true,
  format: true,
};

/** The names of {@linkcode OpenDatasetOptions}. */
export const OPEN_DATASET_NAMES: Names<OpenDatasetOptions> = {
  ...DATASET_NAMES,
  weights: true,
  onNotice: true,
  signal: true,
  stdin: true,
};

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
  /** The files, in groups. */
  groups: FileGroup[];
  /** Options as given to {@linkcode Dataset.from}. */
  options: DatasetOptions;
  /** The sides of splits taken, outermost first. */
  selections: SplitSide[];
}

/**
 * Checks options.
 *
 * @throws {OptionError} on an unknown name, an empty separator, an unknown key or format, or values of
 * another kind.
 */
export function checkDatasetOptions<T extends DatasetOptions>(
  owner: string,
  options: T,
  names: Names<NoInfer<T>>,
): void {
  checkOptions(owner, options, names);
  const { separator, columns, format } = options;
  if (separator !== undefined) checkString("separator", separator);
  if (separator === "") {
    throw new OptionError(
      "Cannot use the empty string as separator: give the text between two records, or leave " +
        "it out for blank lines",
    );
  }
  if (columns !== undefined) checkObject("columns", columns);
  checkColumnMap(columns ?? {});
  if (format !== undefined) checkOneOf("format", format, DATA_FORMATS);
}

/** Rows that an epoch reads more often are a mistake: all times of a row stand beside each other. */
const MOST_WEIGHT = 1000;

/**
 * Checks weights.
 *
 * @throws {OptionError} unless there is a number above 0 for each name.
 */
export function checkWeights(weights: readonly number[] | undefined, names: number): void {
  if (weights === undefined) return;
  checkList("weights", weights, "numbers");
  if (weights.length !== names) {
    throw new OptionError(
      `Cannot use ${weights.length} weights for ${names} names of data: give one for each`,
    );
  }
  for (const weight of weights) {
    if (typeof weight === "number" && weight > 0 && weight <= MOST_WEIGHT) continue;
    refuseValue("the weight of data", weight, `a number above 0, up to ${MOST_WEIGHT}`);
  }
}
