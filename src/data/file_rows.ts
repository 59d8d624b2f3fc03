/**
 * Reads a data file as a stream of rows, a few hundred kilobytes at a time, so that a file of any
 * size takes bounded memory.
 *
 * @module
 */

import { DataError } from "../errors.ts";
import { toFileError } from "../io/file_error.ts";
import { JsonArraySplitter } from "./json_array.ts";
import { JsonLinesSplitter } from "./json_lines.ts";
import { ParagraphSplitter, SeparatedTextSplitter } from "./separated_text.ts";
import { ASCII, isSpace, type Splitter, type SplitterSink } from "./splitter.ts";
import type { RawRow } from "./types.ts";

const CHUNK_BYTES = 1 << 18;

/**
 * The longest row: 64 MiB. Without a bound, a wrong separator would pull the
 * whole file into memory.
 */
export const MAX_ROW_BYTES: number = 1 << 26;

const BYTE_ORDER_MARK = [0xef, 0xbb, 0xbf];

/** How records are found: JSON (lines or an array, told apart by the first byte), or text. */
export type FileFormat =
  | { kind: "json" }
  | { kind: "text"; separator: string | undefined };

/** The splitter for a file that starts with `bytes`, or undefined if more of them are needed. */
function chooseSplitter(format: FileFormat, bytes: Uint8Array): Splitter | undefined {
  if (format.kind === "text") {
    return format.separator === undefined
      ? new ParagraphSplitter()
      : new SeparatedTextSplitter(format.separator);
  }
  const first = bytes.find((byte) => !isSpace(byte));
  if (first === undefined) return undefined;
  return first === ASCII.openBracket ? new JsonArraySplitter() : new JsonLinesSplitter();
}

/** Turns the byte ranges that a splitter reports into rows with their line numbers. */
class RowCollector implements SplitterSink {
  readonly #path: string;
  readonly #decoder = new TextDecoder("utf-8", { fatal: true });
  #bytes: Uint8Array = new Uint8Array(0);
  #rows: RawRow[] = [];
  #index = 0;
  #line = 1;
  /** The offset whose line `#line` is. */
  #counted = 0;

  constructor(path: string) {
    this.#path = path;
  }

  /** Runs `splitter` over `bytes`: the rows found, and how many bytes they used up. */
  scan(splitter: Splitter, bytes: Uint8Array, from: number, last: boolean): [RawRow[], number] {
    this.#bytes = bytes;
    this.#rows = [];
    this.#counted = 0;
    const used = splitter.scan(bytes, from, last, this);
    this.lineAt(used);
    return [this.#rows, used];
  }

  record(start: number, end: number): void {
    while (start < end && isSpace(this.#bytes[start])) start++;
    if (start === end) return;
    let text: string | null;
    try {
      text = this.#decoder.decode(this.#bytes.subarray(start, end));
    } catch {
      text = null;
    }
    this.#rows.push({ index: this.#index++, line: this.lineAt(start), text });
  }

  fail(offset: number, problem: string): never {
    throw new DataError(
      `Cannot read ${this.#path} line ${this.lineAt(offset)}: it breaks the JSON array ` +
        `(${problem}); correct the file or write one JSON object per line`,
    );
  }

  /** The line of `offset`, which never goes back. */
  lineAt(offset: number): number {
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
 * @throws {DataError} when a row is longer than {@linkcode MAX_ROW_BYTES} or a
 * JSON array is malformed outside of its elements.
 */
export async function* readFileRows(
  path: string,
  format: FileFormat,
): AsyncGenerator<RawRow[], void, void> {
  using file = await Deno.open(path).catch((error) => {
    throw toFileError("read", path, error);
  });
  const collector = new RowCollector(path);
  let splitter: Splitter | undefined;
  // `buffer[0, filled)` are the bytes not yet used up; `scanned` of them were
  // scanned before. Rows are decoded at once, so the buffer is used again.
  let buffer = new Uint8Array(2 * CHUNK_BYTES);
  let filled = 0;
  let scanned = 0;
  for (let last = false; !last;) {
    if (filled > MAX_ROW_BYTES) {
      throw new DataError(
        `Cannot read ${path} line ${collector.lineAt(0)}: the row is longer than ` +
          `${MAX_ROW_BYTES} bytes; check the separator, or split the row`,
      );
    }
    if (buffer.length - filled < CHUNK_BYTES) {
      const larger = new Uint8Array(2 * buffer.length);
      larger.set(buffer);
      buffer = larger;
    }
    const count = await file.read(buffer.subarray(filled)).catch((error) => {
      throw toFileError("read", path, error);
    });
    last = count === null;
    filled += count ?? 0;

    if (splitter === undefined) {
      if (filled < BYTE_ORDER_MARK.length && !last) continue;
      if (BYTE_ORDER_MARK.every((byte, i) => buffer[i] === byte)) {
        buffer.fill(ASCII.space, 0, BYTE_ORDER_MARK.length);
      }
      splitter = chooseSplitter(format, buffer.subarray(0, filled));
      if (splitter === undefined) continue;
    }
    const [rows, used] = collector.scan(splitter, buffer.subarray(0, filled), scanned, last);
    if (used > 0) buffer.copyWithin(0, used, filled);
    filled -= used;
    scanned = filled;
    if (rows.length > 0) yield rows;
  }
}
