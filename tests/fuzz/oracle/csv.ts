/**
 * Tables as text by RFC 4180, with the liberties that this package takes: fields between commas, semicolons or tabs, a quote
 * within a field that does not begin with one, any line ends.
 *
 * @module
 */

import { characters } from "./rows.ts";

/** A table as it was read. */
export interface OracleTable {
  columns: string[];
  /** Each row with its line. `fields` is null where the row is not sound. */
  rows: { line: number; fields: string[] | null }[];
}

/** A record as characters: its fields, or why there are none. */
interface Record {
  line: number;
  fields: string[] | null;
  isBlank: boolean;
  /** Whether a field that does not begin with a quote has one. */
  hasPlainQuote: boolean;
}

/** Reads a table; null if it is not sound as a whole: a quote is not closed, or columns have no names. */
export function readTable(bytes: Uint8Array, tabs: boolean): OracleTable | null {
  const text = characters(bytes);
  const delimiter = tabs ? "\t" : delimiterOf(text);
  const { records: all, isOpen } = recordsOf(text, delimiter);
  if (isOpen) return null;
  const records = all.filter(({ isBlank }) => !isBlank);
  if (records.length === 0) return { columns: [], rows: [] };
  const [head, ...rows] = records;
  const columns = head.fields?.map((field) => field.trim()) ?? [""];
  if (columns.includes("") || head.hasPlainQuote || new Set(columns).size < columns.length) {
    return null;
  }
  return {
    columns,
    rows: rows.map(({ line, fields }) => ({
      line,
      fields: fields?.length === columns.length ? fields : null,
    })),
  };
}

/** The first of the delimiters with which the first record has several sound fields. */
function delimiterOf(text: string): string {
  return [",", ";", "\t"].find((delimiter) => {
    const head = recordsOf(text, delimiter).records.find(({ isBlank }) => !isBlank);
    return head?.fields && head.fields.length > 1 && !head.hasPlainQuote;
  }) ?? ",";
}

/** Characters one by one through the states of a field. `isOpen`: a quote is not closed. */
function recordsOf(text: string, delimiter: string): { records: Record[]; isOpen: boolean } {
  const records: Record[] = [];
  let state: "start" | "plain" | "quoted" | "closed" | "broken" = "start";
  let fields: string[] = [];
  let field = "";
  let line = 1;
  let record: Record = { line, fields: null, isBlank: true, hasPlainQuote: false };
  const endField = () => {
    fields.push(field);
    field = "";
    state = "start";
  };
  let broken = false;
  const endRecord = () => {
    endField();
    const texts = fields.map(utf8);
    record.fields = broken || texts.includes(null) ? null : texts as string[];
    records.push(record);
    fields = [];
    broken = false;
    record = { line, fields: null, isBlank: true, hasPlainQuote: false };
  };
  for (let at = 0; at < text.length; at++) {
    const character = text[at];
    if (character === "\n") line++;
    if (!" \t\r\n".includes(character)) record.isBlank = false;
    if (state === "quoted") {
      if (character !== '"') field += character;
      else if (text[at + 1] === '"') field += text[++at];
      else state = "closed";
    } else if (character === "\n") endRecord();
    else if (character === "\r" && (text[at + 1] === "\n" || at + 1 === text.length)) continue;
    else if (character === delimiter) endField();
    else if (state === "closed") broken = true;
    else if (state === "start" && character === '"') state = "quoted";
    else {
      state = "plain";
      if (character === '"') record.hasPlainQuote = true;
      field += character;
    }
  }
  const isOpen = state as string === "quoted";
  if (!isOpen) endRecord();
  return { records, isOpen };
}

function utf8(characters: string): string | null {
  const bytes = Uint8Array.from(characters, (one) => one.charCodeAt(0));
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return null;
  }
}
