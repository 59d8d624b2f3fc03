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
import { ASCII, isSpace, type Splitter, type SplitterSink } from "./splitter.ts";
import type { RawRow } from "./types.ts";

/** What may stand between fields, by preference. */
const DELIMITERS = [",", ";", "\t"] as const;
type Delimiter = typeof DELIMITERS[number];

/**
 * Records of a table: lines, but for line feeds within quotes. A quote counts only where a field begins,
 * so what is between fields has to be known: of the first record, that is what it is told by.
 */
export class CsvSplitter implements Splitter {
  /** Bytes that a field may follow. */
  #delimiters: readonly number[];
  #isKnown: boolean;
  #quoted = false;
  /** Whether a quote here would open a field, or go on with one in which a quote is doubled. */
  #opens = true;
  /** Whether the record so far is more than space. */
  #hasText = false;

  /** @param tabs Fields are between tabs; else between what the first record that is not blank has. */
  constructor(tabs: boolean) {
    this.#isKnown = tabs;
    this.#delimiters = tabs ? [ASCII.tab] : [ASCII.comma, ASCII.semicolon, ASCII.tab];
  }

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
      this.#opens = byte === ASCII.lineFeed || this.#delimiters.includes(byte);
      if (byte !== ASCII.lineFeed) {
        this.#hasText ||= !isSpace(byte);
        continue;
      }
      if (!this.#isKnown && this.#hasText) this.#learn(bytes.subarray(start, at));
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

  #learn(header: Uint8Array): void {
    this.#isKnown = true;
    this.#delimiters = [delimiterOf(new TextDecoder().decode(header)).charCodeAt(0)];
  }
}

/** What a header has between its names: the first delimiter with which it is sound; commas if none. */
function delimiterOf(header: string): Delimiter {
  return DELIMITERS.find((delimiter) => {
    const { fields, problem } = readRecord(header, delimiter, true);
    return problem === undefined && fields.length > 1;
  }) ?? ",";
}

/** Turns the records of a table into rows: JSON objects with the names of the first record. */
export class CsvRows {
  readonly #name: string;
  readonly #tabs: boolean;
  #delimiter: Delimiter = ",";
  #columns: string[] | null = null;

  /**
   * @param name Names the file in messages.
   * @param tabs Fields are between tabs; else between what the first record has: commas, semicolons or
   * tabs.
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
    this.#delimiter = this.#tabs ? "\t" : delimiterOf(header);
    const { fields, problem: broken } = readRecord(header, this.#delimiter, true);
    const columns = fields.map((field) => field.trim());
    const twice = columns.find((column, i) => columns.indexOf(column) < i);
    if (text === null || broken !== undefined || twice !== undefined || columns.includes("")) {
      const problem = text === null
        ? "is not valid UTF-8"
        : broken !== undefined
        ? `is not sound, as ${broken}`
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

/**
 * The fields of one record. A quote counts only where a field begins; two within are one.
 *
 * @param strict Fields that do not begin with a quote have none.
 */
function readRecord(
  text: string,
  delimiter: Delimiter,
  strict = false,
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
      if (strict && field.includes('"')) {
        return {
          fields,
          problem: `a quote stands within field ${fields.length + 1}; leave it out`,
        };
      }
    }
    fields.push(field);
    if (at >= record.length) return { fields };
    at++;
  }
}
