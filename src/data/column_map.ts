/**
 * The columns that mean something, and maps from other columns to them.
 *
 * @module
 */

import { OptionError } from "../errors.ts";
import { showJson } from "../io/json.ts";

/** Keys that mean something. */
const KNOWN_KEYS = [
  ...["text", "prompt", "completion", "instruction", "input", "output"],
  ...["messages", "conversations", "system", "history", "tools", "documents"],
  ...["chat_template_kwargs", "input_ids", "labels", "attention_mask"],
];

/** Keys that a row of a format may lack. */
const OPTIONAL_KEYS = [
  ...["input", "labels", "attention_mask", "system", "history", "tools", "documents"],
  "chat_template_kwargs",
];

/** Columns that hold data often; where they are not used, that is said. */
const DATA_COLUMNS: ReadonlySet<string> = new Set([
  ...KNOWN_KEYS,
  ...["conversation", "dialogue", "dialog", "turns", "system_prompt", "context", "question"],
  ...["query", "answer", "answers", "response", "responses", "target", "solution", "reasoning"],
  ...[
    "thinking",
    "chosen",
    "rejected",
    "label",
    "content",
    "document",
    "passage",
    "code",
    "functions",
  ],
  ...["position_ids", "seq_lengths"],
  ...["image", "images", "audio", "audios", "video", "videos"],
]);

/** For each known key, the column of the data that holds it: `{ prompt: "question" }`. */
export type ColumnMap = Readonly<Record<string, string>>;

/** Whether a row of its format may be without this key. */
export function isOptional(key: string): boolean {
  return OPTIONAL_KEYS.includes(key);
}

/** Whether a column of this name is likely to hold something to learn from. */
export function looksLikeData(column: string): boolean {
  return DATA_COLUMNS.has(column);
}

/**
 * Checks a column map.
 *
 * @throws {OptionError} when it maps to a key that no format has, or what is no name.
 */
export function checkColumnMap(columns: ColumnMap): void {
  for (const [key, column] of Object.entries(columns)) {
    if (!KNOWN_KEYS.includes(key)) {
      throw new OptionError(
        `Cannot map a column to the key ${showJson(key)}: use one of ${KNOWN_KEYS.join(", ")}`,
      );
    }
    if (typeof column !== "string" || column === "") {
      throw new OptionError(
        `Cannot map ${showJson(column)} to the key "${key}": give the name of a column`,
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
        `Cannot read ${showJson(part)} in the column map: write key=column pairs, such as ` +
          "prompt=question,completion=answer",
      );
    }
    columns[key] = column;
  }
  checkColumnMap(columns);
  return columns;
}
