/**
 * Reads a data file as a stream of rows, a few hundred kilobytes at a time, so that a file of any
 * size takes bounded memory.
 *
 * @module
 */

import { DataError } from "../errors.ts";
import { type DataFile, type FileBytes, openBytes } from "./bytes.ts";
import { CsvRows, CsvSplitter } from "./csv.ts";
import { type DataFormat, formatOf } from "./file_kind.ts";
import { JsonArraySplitter } from "./json_array.ts";
import { JsonLinesSplitter } from "./json_lines.ts";
import { readParquetRows } from "./parquet.ts";
import { ParagraphSplitter, SeparatedTextSplitter } from "./separated_text.ts";
import { ASCII, isSpace, type Splitter, type SplitterSink } from "./splitter.ts";
import type { RawRow } from "./types.ts";

/**
 * The longest row: 64 MiB. Without a bound, a wrong separator would pull the
 * whole file into memory.
 */
export const MAX_ROW_BYTES: number = 1 << 26;

const BYTE_ORDER_MARK = [0xef, 0xbb, 0xbf];

/** How the rows of a file are found. */
export interface FileRowOptions {
  /** The text between two records of a text file; blank lines without it. */
  separator?: string;
  /** The format, where neither the file's first bytes nor its name tell. */
  format?: DataFormat;
}

/** The splitter for a file that starts with `bytes`, or undefined if more of them are needed. */
function chooseSplitter(
  format: DataFormat,
  separator: string | undefined,
  bytes: Uint8Array,
): Splitter | undefined {
  if (format === "text") {
    return separator === undefined ? new ParagraphSplitter() : new SeparatedTextSplitter(separator);
  }
  if (format !== "json") return new CsvSplitter(format === "tsv");
  let at = 0;
  while (at < bytes.length && isSpace(bytes[at])) at++;
  if (at === bytes.length) return undefined;
  return bytes[at] === ASCII.openBracket ? new JsonArraySplitter() : new JsonLinesSplitter();
}

/** Turns the byte ranges that a splitter reports into rows with their line numbers. */
class RowCollector implements SplitterSink {
  readonly #name: string;
  readonly #kind: "json" | "table" | "text";
  readonly #decoder: TextDecoder;
  #bytes: Uint8Array = new Uint8Array(0);
  #rows: RawRow[] = [];
  #index = 0;
  #line = 1;
  /** The offset whose line `#line` is. */
  #counted = 0;
  /** Bytes used up before these. */
  #before = 0;

  constructor(name: string, kind: "json" | "table" | "text") {
    this.#name = name;
    this.#kind = kind;
    // Files of JSON that were joined may have marks of byte order in the middle, which are no JSON.
    this.#decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: kind !== "json" });
  }

  /** Runs `splitter` over `bytes`: the rows found, and how many bytes they used up. */
  scan(splitter: Splitter, bytes: Uint8Array, from: number, last: boolean): [RawRow[], number] {
    this.#bytes = bytes;
    this.#rows = [];
    this.#counted = 0;
    const used = splitter.scan(bytes, from, last, this);
    this.lineAt(used);
    this.#before += used;
    return [this.#rows, used];
  }

  /** Counts bytes that hold no row as used up. */
  skip(bytes: Uint8Array): void {
    this.#bytes = bytes;
    this.#counted = 0;
    this.lineAt(bytes.length);
    this.#before += bytes.length;
  }

  record(start: number, end: number): void {
    let text: string | null;
    let first = start;
    while (first < end && isSpace(this.#bytes[first])) first++;
    if (first === end) return;
    if (this.#kind !== "table") start = first; // there a tab is an empty first field
    try {
      text = this.#decoder.decode(this.#bytes.subarray(start, end));
    } catch {
      text = null;
    }
    const offset = this.#before + start;
    const line = this.lineAt(start);
    this.#rows.push({ index: this.#index++, line, text, kind: this.#kind, offset });
  }

  fail(offset: number, problem: string): never {
    throw new DataError(`Cannot read ${this.#name} line ${this.lineAt(offset)}: ${problem}`);
  }

  /** The line of `offset`, which never goes back. */
  lineAt(offset: number): number {
    if (offset === this.#counted) return this.#line;
    let at = this.#bytes.indexOf(ASCII.lineFeed, this.#counted);
    while (at >= 0 && at < offset) {
      this.#line++;
      at = this.#bytes.indexOf(ASCII.lineFeed, at + 1);
    }
    this.#counted = offset;
    return this.#line;
  }
}

/**
 * The rows of a file, in arrays of one chunk each. Blank rows are left out.
 *
 * @throws {FileError} when the file cannot be read.
 * @throws {DataError} when a row is longer than {@linkcode MAX_ROW_BYTES}, a JSON array is malformed
 * outside of its elements, or the file is of a kind that has no rows.
 */
export async function* readFileRows(
  file: DataFile,
  { separator, format: given }: FileRowOptions,
): AsyncGenerator<RawRow[], void, void> {
  const bytes = await openBytes(file);
  try {
    const format = formatOf(bytes, separator === undefined ? given : "text");
    if (format === "parquet") {
      yield* readParquetRows(file);
      return;
    }
    const rows = splitRows(file.name, format, separator, bytes);
    if (format === "json" || format === "text") {
      yield* rows;
      return;
    }
    const table = new CsvRows(file.name, format === "tsv");
    for await (const records of rows) {
      const found = table.read(records);
      if (found.length > 0) yield found;
    }
  } finally {
    await bytes.close();
  }
}

/** The records of a file that are not parsed yet. */
async function* splitRows(
  name: string,
  format: Exclude<DataFormat, "parquet">,
  separator: string | undefined,
  { chunks }: FileBytes,
): AsyncGenerator<RawRow[], void, void> {
  const collector = new RowCollector(name, format === "csv" || format === "tsv" ? "table" : format);
  let splitter: Splitter | undefined;
  let started = false;
  // `buffer[0, filled)` are the bytes not yet used up; `scanned` of them were
  // scanned before. Rows are decoded at once, so the buffer is used again.
  let buffer = new Uint8Array(1 << 16);
  let filled = 0;
  let scanned = 0;
  for (let last = false; !last;) {
    if (filled > MAX_ROW_BYTES) {
      throw new DataError(
        `Cannot read ${name} line ${collector.lineAt(0)}: the row is longer than ` +
          `${MAX_ROW_BYTES} bytes; check the separator, or split the row`,
      );
    }
    const { value: chunk, done } = await chunks.next();
    last = done === true;
    if (chunk) {
      while (buffer.length - filled < chunk.length) {
        const larger = new Uint8Array(2 * buffer.length);
        larger.set(buffer.subarray(0, filled));
        buffer = larger;
      }
      buffer.set(chunk, filled);
      filled += chunk.length;
    }

    if (!started) {
      if (filled < BYTE_ORDER_MARK.length && !last) continue;
      if (filled >= 3 && BYTE_ORDER_MARK.every((byte, i) => buffer[i] === byte)) {
        buffer.copyWithin(0, BYTE_ORDER_MARK.length, filled);
        filled -= BYTE_ORDER_MARK.length;
      }
      started = true;
    }
    splitter ??= chooseSplitter(format, separator, buffer.subarray(0, filled));
    if (splitter === undefined) { // all is space so far
      collector.skip(buffer.subarray(0, filled));
      filled = 0;
      continue;
    }
    const [rows, used] = collector.scan(splitter, buffer.subarray(0, filled), scanned, last);
    if (used > 0) buffer.copyWithin(0, used, filled);
    filled -= used;
    scanned = filled;
    if (rows.length > 0) yield rows;
  }
}
