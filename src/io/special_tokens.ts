/**
 * Special tokens of `tokenizer_config.json`, which the tokenizer and the chat template both need.
 *
 * @module
 */

import type { JsonFields } from "./json.ts";

/**
 * The spelling of a special token, such as `bos_token`, in a `tokenizer_config.json`: a string, or
 * an object that holds it; null when the config names none.
 *
 * @throws {ModelError} if it is neither.
 */
export function specialToken(name: string, config: JsonFields): string | null {
  const token = config.raw(name);
  if (token === undefined) return null;
  return typeof token === "string" ? token : config.object(name).string("content");
}
