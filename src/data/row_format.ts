/**
 * Recognises the format of a row by its keys: text, completion, instruction, chat or token ids.
 *
 * @module
 */

import { DataError } from "../errors.ts";
import { alpacaPrompt } from "./alpaca.ts";
import { type ColumnMap, isOptional, looksLikeData } from "./column_map.ts";
import { conversation, promptMessages, turns } from "./conversations.ts";
import { describe, type Row, string, TARGET_MASKS, tokenRow } from "./row_values.ts";
import type { Example } from "./types.ts";

/** What is known of a row besides its values. */
export interface RecogniseOptions {
  /** The row is of a table, which has empty cells where a row lacks a column. */
  table?: boolean;
  /** Is told of columns that look like data and are not used. */
  onUnused?: (columns: string[]) => void;
}

/** An example, and the keys that it was made of. */
type Match = { example: Example; used: readonly string[] };

/**
 * The example that a parsed row stands for. Mapped columns win over the row's own keys. A column
 * that is null is one that the row has not.
 *
 * @param where Names the row in errors.
 * @throws {DataError} when the row is not an object, has none of the known sets
 * of keys, or a value of the wrong type.
 */
export function recognise(
  row: unknown,
  columns: ColumnMap,
  where: string,
  { table = false, onUnused }: RecogniseOptions = {},
): Example {
  if (typeof row !== "object" || row === null || Array.isArray(row)) {
    throw new DataError(
      `Cannot read ${where}: it is ${describe(row)}; give one JSON object per row`,
    );
  }
  const present = without(row as Row, isNone);
  const mapped = mapColumns(row as Row, columns, where);
  const isMapped = Object.keys(columns).length > 0;
  const all = isMapped ? { ...present, ...mapped } : present;
  const rows = isMapped ? [mapped, all] : [all];
  const found = (table ? firstMatch(rows.map((it) => without(it, isBlank)), where) : undefined) ??
    firstMatch(rows, where);
  if (found === undefined) throw unknownFormat(row as Row, all, where);
  if (onUnused) {
    // Rows are many: nothing is made where all is used.
    const isUsed = (key: string) =>
      found.used.includes(key) || found.used.some((used) => columns[used] === key);
    let unused: string[] | undefined;
    for (const key in present) {
      if (looksLikeData(key) && !isUsed(key) && !isEmpty(present[key])) (unused ??= []).push(key);
    }
    if (unused !== undefined) onUnused(unused);
  }
  return found.example;
}

function firstMatch(rows: readonly Row[], where: string): Match | undefined {
  for (const row of rows) {
    const found = match(row, where);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** The values that the map names, by the keys that it gives them. */
function mapColumns(row: Row, columns: ColumnMap, where: string): Row {
  const mapped: Record<string, unknown> = {};
  for (const key in columns) {
    const column = columns[key];
    const value = row[column];
    if (Object.hasOwn(row, column) && !isNone(value)) {
      mapped[key] = value;
    } else if (!isOptional(key)) {
      const found = Object.hasOwn(row, column) ? `, which is ${describe(value)}` : "";
      throw new DataError(
        `Cannot read ${where}: it has the keys ${keysOf(row)}, but the column map names ` +
          `"${column}"${found}; correct the map`,
      );
    }
  }
  return mapped;
}

function without(row: Row, isAbsent: (value: unknown) => boolean): Row {
  for (const key in row) {
    if (!isAbsent(row[key])) continue;
    return Object.fromEntries(Object.entries(row).filter(([, value]) => !isAbsent(value)));
  }
  return row;
}

function isNone(value: unknown): boolean {
  return value === null || value === undefined;
}

function isBlank(value: unknown): boolean {
  return value === "";
}

function isEmpty(value: unknown): boolean {
  return value === "" || (Array.isArray(value) && value.length === 0);
}

function keysOf(row: Row): string {
  return listed(Object.keys(row)).join(", ") || "(none)";
}

/** Keys for a sentence: as many and as much of them as can be read. */
function listed(keys: readonly string[]): string[] {
  const shown = keys.slice(0, 20).map((key) => key.length > 40 ? `${key.slice(0, 40)}…` : key);
  return keys.length > 20 ? [...shown, `and ${keys.length - 20} more`] : shown;
}

const CONVERSATION_KEYS = ["messages", "conversations", "conversation"];
const CHAT_KEYS = ["system", "history", "tools", "documents", "chat_template_kwargs"];

function match(row: Row, where: string): Match | undefined {
  const has = (key: string) => row[key] !== undefined;
  if (has("input_ids")) {
    const used = ["input_ids", "labels", "attention_mask", ...TARGET_MASKS];
    return { example: { kind: "ids", ...tokenRow(row, where) }, used };
  }
  const conversations = CONVERSATION_KEYS.find(has);
  if (conversations !== undefined) {
    const used = [conversations, ...CHAT_KEYS.filter((key) => key !== "history")];
    return { example: conversation(row, conversations, where), used };
  }
  if (has("prompt") && has("completion")) {
    const used = ["prompt", "completion"];
    // Only lists are: a text that looks like one, as JSON to be learned does, is a text.
    if (Array.isArray(row.prompt)) {
      return { example: promptMessages(row, where), used: [...used, ...CHAT_KEYS] };
    }
    return completion(row, used, [], where);
  }
  if (has("instruction") && has("output")) {
    return completion(row, ["instruction", "output"], ["input"], where);
  }
  if (has("text")) {
    return { example: { kind: "text", text: string(row, "text", where) }, used: ["text"] };
  }
  return undefined;
}

/**
 * A question with its answer: a plain completion, or a conversation where the row has columns that
 * belong to one, even if they are empty, as in LLaMA-Factory's data sets.
 */
function completion(row: Row, keys: string[], context: string[], where: string): Match {
  const [question, answer] = keys.map((key) => string(row, key, where));
  const input = context.map((key) => row[key] === undefined ? "" : string(row, key, where)).join(
    "",
  );
  const used = [...keys, ...context];
  if (CHAT_KEYS.some((key) => row[key] !== undefined)) {
    const asked = input === "" ? question : `${question}\n${input}`;
    const example = turns(row, { question: asked, answer }, where);
    return { example, used: [...used, ...CHAT_KEYS] };
  }
  const prompt = keys[0] === "instruction" ? alpacaPrompt(question, input) : question;
  return { example: { kind: "completion", prompt, completion: answer }, used };
}

function unknownFormat(row: Row, present: Row, where: string): DataError {
  if (present.chosen !== undefined && present.rejected !== undefined) {
    const map = Array.isArray(present.chosen) ? "messages=chosen" : "completion=chosen";
    return new DataError(
      `Cannot read ${where}: it has a chosen and a rejected answer, and learning from preferences ` +
        `(DPO) is not implemented; map ${map} to learn the chosen answers alone`,
    );
  }
  const empty = Object.keys(row).filter((key) => looksLikeData(key) && row[key] === null);
  const nulls = empty.length > 0 ? `, of which "${listed(empty).join('" and "')}" is null` : "";
  return new DataError(
    `Cannot read ${where}: it has the keys ${keysOf(row)}${nulls}; give text, or prompt and ` +
      "completion, or instruction and output (and input), or messages or conversations, or " +
      "input_ids (and labels, attention_mask), or map other columns, as in " +
      "prompt=question,completion=answer",
  );
}
