/**
 * Tables as text: CSV by RFC 4180, and the same with tabs.
 *
 * Records are found in the bytes and read one at a time, as those of every other format, so a file of
 * any size streams, a row knows its line, and a bad row can be skipped. A CSV library would hold
 * whole rows of its own or end at the first bad one.
 *
 * @module
 */

import { DataError } from "../errors.ts";
import { ASCII, type Splitter, type SplitterSink } from "./splitter.ts";
import type { RawRow } from "./types.ts";

/** Bytes that a field may follow: the delimiters that the first record may have. */
const DELIMITERS: readonly number[] = [ASCII.comma, ASCII.semicolon, ASCII.tab];

/** Records of a table: lines, but for line feeds within quotes. */
export class CsvSplitter implements Splitter {
  #quoted = false;
  /** Whether a quote here would open a field, or go on with one in which a quote is doubled. */
  #opens = true;

  /** Reports every complete record. */
  scan(bytes: Uint8Array, from: number, last: boolean, sink: SplitterSink): number {
    let start = 0;
    for (let at = from; at < bytes.length; at++) {
      const byte = bytes[at];
      if (this.#quoted) {
        this.#quoted = byte !== ASCII.quote;
        this.#opens = true;
        continue;
      }
      if (byte === ASCII.quote && this.#opens) this.#quoted = true;
      this.#opens = byte === ASCII.lineFeed || DELIMITERS.includes(byte);
      if (byte !== ASCII.lineFeed) continue;
      sink.record(start, at);
      start = at + 1;
    }
    if (!last) return start;
    if (this.#quoted) {
      sink.fail(start, "a quote that opens a field is not closed by the end of the file; close it");
    }
    if (start < bytes.length) sink.record(start, bytes.length);
    return bytes.length;
  }
}

/** Turns the records of a table into rows: JSON objects with the names of the first record. */
export class CsvRows {
  readonly #name: string;
  readonly #tabs: boolean;
  #delimiter = ",";
  #columns: string[] | null = null;

  /**
   * @param name Names the file in messages.
   * @param tabs Fields are between tabs; else what the first record has: commas, semicolons or tabs.
   */
  constructor(name: string, tabs: boolean) {
    this.#name = name;
    this.#tabs = tabs;
  }

  /** The rows of records; the file's first record is the header, and none. */
  read(records: readonly RawRow[]): RawRow[] {
    return records.flatMap((record) => {
      if (this.#columns !== null) return [this.#row(record, this.#columns)];
      this.#columns = this.#header(record);
      return [];
    });
  }

  #header({ text }: RawRow): string[] {
    const header = text ?? "";
    const unquoted = header.replace(/"[^"]*"/g, "");
    this.#delimiter = this.#tabs
      ? "\t"
      : [",", ";", "\t"].find((delimiter) => unquoted.includes(delimiter)) ?? ",";
    const { fields } = readRecord(header, this.#delimiter);
    const columns = fields.map((field) => field.trim());
    const twice = columns.find((column, i) => columns.indexOf(column) < i);
    if (text === null || twice !== undefined || columns.includes("")) {
      const problem = text === null
        ? "is not valid UTF-8"
        : twice === undefined || twice === ""
        ? "has a column without a name"
        : `has two columns "${twice}"`;
      throw new DataError(
        `Cannot read ${this.#name}: its first line, which names the columns, ${problem}; ` +
          "correct that line",
      );
    }
    return columns;
  }

  #row(record: RawRow, columns: readonly string[]): RawRow {
    const row: RawRow = { ...record, index: record.index - 1 };
    if (record.text === null) return row;
    const { fields, problem } = readRecord(record.text, this.#delimiter);
    if (problem !== undefined) return { ...row, problem };
    if (fields.length !== columns.length) {
      const delimiter = { ",": "commas", ";": "semicolons", "\t": "tabs" }[this.#delimiter];
      return {
        ...row,
        problem: `it has ${fields.length} fields, but the first line names ${columns.length} ` +
          `columns; put fields with ${delimiter} in them between double quotes`,
      };
    }
    const text = JSON.stringify(Object.fromEntries(columns.map((name, i) => [name, fields[i]])));
    return { ...row, text };
  }
}

/** The fields of one record. A quote counts only where a field begins; two within are one. */
function readRecord(
  text: string,
  delimiter: string,
): { fields: string[]; problem?: string } {
  const fields: string[] = [];
  const record = text.replace(/\r$/, "");
  let at = 0;
  while (true) {
    let field = "";
    if (record[at] === '"') {
      const quoted = /"((?:[^"]|"")*)"/y;
      quoted.lastIndex = at;
      const found = quoted.exec(record);
      if (found === null) {
        return { fields, problem: "a quote is not closed; double quotes in fields" };
      }
      field = found[1].replaceAll('""', '"');
      at = quoted.lastIndex;
      if (at < record.length && record[at] !== delimiter) {
        return {
          fields,
          problem: `text follows the closing quote of field ${fields.length + 1}; ` +
            'write a quote within a quoted field as ""',
        };
      }
    } else {
      const end = record.indexOf(delimiter, at);
      field = record.slice(at, end < 0 ? undefined : end);
      at = end < 0 ? record.length : end;
    }
    fields.push(field);
    if (at >= record.length) return { fields };
    at++;
  }
}
