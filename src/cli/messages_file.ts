/**
 * Reads a conversation for `generate --messages`.
 *
 * @module
 */

import { DataError } from "../errors.ts";
import { isJsonObject, parseJson, showJson } from "../io/json.ts";
import { readTextFile } from "../io/text_file.ts";
import type { ChatMessage } from "../io/tokenizer.ts";
import type { Terminal } from "./terminal.ts";

/** The text of a file, or of standard input for `-`. */
export async function readText(path: string, terminal: Terminal): Promise<string> {
  if (path === "-") return await terminal.input?.readAll() ?? "";
  return await readTextFile(path);
}

/**
 * The messages of a file: a JSON array of them, or an object with such an array as `messages`, such as a
 * row to train on.
 *
 * @throws {DataError} for anything else.
 */
export async function readMessages(path: string, terminal: Terminal): Promise<ChatMessage[]> {
  const shown = path === "-" ? "standard input" : `"${path}"`;
  const wanted = 'give [{"role": "user", "content": "…"}], or an object that has such messages';
  let json: unknown;
  try {
    json = parseJson(await readText(path, terminal));
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw new DataError(
      `Cannot read the messages of ${shown} as JSON (${error.message}): ${wanted}`,
    );
  }
  const messages = isJsonObject(json) ? json.messages : json;
  if (!Array.isArray(messages) || messages.length === 0) {
    throw new DataError(`Cannot find messages in ${shown}, which is ${showJson(json)}: ${wanted}`);
  }
  messages.forEach((message, i) => {
    if (isJsonObject(message) && typeof message.role === "string") return;
    throw new DataError(
      `Cannot use message ${i + 1} of ${shown}, which is ${showJson(message)}: ${wanted}`,
    );
  });
  if (messages.at(-1).role !== "assistant") return messages;
  throw new DataError(
    `Cannot answer the messages of ${shown} as the last is the assistant's own: leave it out`,
  );
}
