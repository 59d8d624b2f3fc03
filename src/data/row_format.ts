/**
 * Recognises the format of a row by its keys: text, completion, instruction, chat or token ids.
 *
 * @module
 */

import { DataError, OptionError } from "../errors.ts";
import type { ChatMessage } from "../io/chat_template.ts";
import { alpacaPrompt } from "./alpaca.ts";
import { type Example, IGNORED_LABEL } from "./types.ts";

type Row = Record<string, unknown>;

/** Keys that mean something, for error messages and to check a column map. */
const KNOWN_KEYS = [
  "text",
  "prompt",
  "completion",
  "instruction",
  "input",
  "output",
  "messages",
  "input_ids",
  "labels",
];

/** Keys that a row of a format may lack. */
const OPTIONAL_KEYS = ["input", "labels"];

/** For each known key, the column of the data that holds it: `{ prompt: "question" }`. */
export type ColumnMap = Readonly<Record<string, string>>;

/**
 * Checks a column map.
 *
 * @throws {OptionError} when it maps to a key that no format has.
 */
export function checkColumnMap(columns: ColumnMap): void {
  for (const key of Object.keys(columns)) {
    if (!KNOWN_KEYS.includes(key)) {
      throw new OptionError(
        `Cannot map a column to the key "${key}": use one of ${KNOWN_KEYS.join(", ")}`,
      );
    }
  }
}

/**
 * Reads a column map from the form `prompt=question,completion=answer`.
 *
 * @throws {OptionError} when a part has no `=` or maps to an unknown key.
 */
export function parseColumnMap(text: string): ColumnMap {
  const columns: Record<string, string> = {};
  for (const part of text.split(",")) {
    const [key, column, ...rest] = part.split("=").map((name) => name.trim());
    if (!key || !column || rest.length > 0) {
      throw new OptionError(
        `Cannot read "${part}" in the column map: write key=column pairs, such as ` +
          "prompt=question,completion=answer",
      );
    }
    columns[key] = column;
  }
  checkColumnMap(columns);
  return columns;
}

/**
 * The example that a parsed row stands for. Mapped columns win over the row's own keys.
 *
 * @param where Names the row in errors.
 * @throws {DataError} when the row is not an object, has none of the known sets
 * of keys, or a value of the wrong type.
 */
export function recognise(row: unknown, columns: ColumnMap, where: string): Example {
  if (typeof row !== "object" || row === null || Array.isArray(row)) {
    throw new DataError(
      `Cannot read ${where}: it is ${describe(row)}; give one JSON object per row`,
    );
  }
  const keys = () => Object.keys(row).join(", ") || "(none)";
  const mapped: Row = {};
  for (const [key, column] of Object.entries(columns)) {
    if (!Object.hasOwn(row, column)) {
      if (OPTIONAL_KEYS.includes(key)) continue;
      throw new DataError(
        `Cannot read ${where}: it has the keys ${keys()}, but the column map names "${column}"; ` +
          "correct the map",
      );
    }
    mapped[key] = (row as Row)[column];
  }
  const example = match(mapped, where) ?? match({ ...row, ...mapped }, where);
  if (example === undefined) {
    throw new DataError(
      `Cannot read ${where}: it has the keys ${keys()}; give text, or prompt and completion, or ` +
        "instruction and output (and input), or messages, or input_ids (and labels), or map " +
        "other columns, as in prompt=question,completion=answer",
    );
  }
  return example;
}

function match(row: Row, where: string): Example | undefined {
  if (row.input_ids !== undefined) {
    const inputIds = tokenIds(row, "input_ids", where);
    if (row.labels === undefined || row.labels === null) {
      return { kind: "ids", inputIds, labels: undefined };
    }
    const labels = tokenIds(row, "labels", where);
    if (labels.length !== inputIds.length) {
      throw new DataError(
        `Cannot read ${where}: it has ${inputIds.length} input_ids and ${labels.length} labels; ` +
          "give one label per id",
      );
    }
    return { kind: "ids", inputIds, labels };
  }
  if (row.messages !== undefined) {
    return { kind: "chat", messages: chatMessages(row.messages, where) };
  }
  if (row.prompt !== undefined && row.completion !== undefined) {
    return {
      kind: "completion",
      prompt: string(row, "prompt", where),
      completion: string(row, "completion", where),
    };
  }
  if (row.instruction !== undefined && row.output !== undefined) {
    const input = row.input === undefined || row.input === null ? "" : string(row, "input", where);
    return {
      kind: "completion",
      prompt: alpacaPrompt(string(row, "instruction", where), input),
      completion: string(row, "output", where),
    };
  }
  if (row.text !== undefined) return { kind: "text", text: string(row, "text", where) };
  return undefined;
}

function string(row: Row, key: string, where: string): string {
  const value = row[key];
  if (typeof value === "string") return value;
  throw new DataError(`Cannot read ${where}: "${key}" is ${describe(value)}; give a string`);
}

function tokenIds(row: Row, key: "input_ids" | "labels", where: string): ArrayLike<number> {
  const value = row[key];
  if (!Array.isArray(value) && !(ArrayBuffer.isView(value) && "length" in value)) {
    throw new DataError(
      `Cannot read ${where}: "${key}" is ${describe(value)}; give an array of token ids`,
    );
  }
  const numbers = value as ArrayLike<unknown>;
  for (let i = 0; i < numbers.length; i++) {
    const id = numbers[i];
    const isId = Number.isInteger(id) && id as number >= 0 && id as number < 2 ** 31;
    if (!isId && !(key === "labels" && id === IGNORED_LABEL)) {
      throw new DataError(
        `Cannot read ${where}: "${key}" has ${describe(id)}; give token ids` +
          (key === "labels" ? `, or ${IGNORED_LABEL} where the token is no target` : ""),
      );
    }
  }
  return numbers as ArrayLike<number>;
}

function chatMessages(value: unknown, where: string): ChatMessage[] {
  if (!Array.isArray(value) || value.length === 0) {
    throw new DataError(
      `Cannot read ${where}: "messages" is ${describe(value)}; give an array of turns`,
    );
  }
  return value.map((message, i) => {
    const { role, content } = (message ?? {}) as Partial<ChatMessage>;
    if (role !== "system" && role !== "user" && role !== "assistant") {
      throw new DataError(
        `Cannot read ${where}: the role of message ${i} is ${describe(role)}; ` +
          "give system, user or assistant",
      );
    }
    if (typeof content !== "string") {
      throw new DataError(
        `Cannot read ${where}: the content of message ${i} is ${describe(content)}; give a string`,
      );
    }
    return { role, content };
  });
}

/** A value in a few words. */
function describe(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  if (Array.isArray(value)) return value.length === 0 ? "an empty array" : "an array";
  if (typeof value === "object") return "an object";
  return `the ${typeof value} ${String(value).slice(0, 40)}`;
}
