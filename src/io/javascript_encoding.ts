/**
 * Encoding and decoding with the JavaScript library, which throws errors of its own on files that it does
 * not expect: here they get names.
 *
 * @module
 */

import { Tokenizer as HuggingFaceTokenizer } from "@huggingface/tokenizers";
import { DataError, ModelError } from "../errors.ts";
import { isJsonObject, type JsonFields, showJson } from "./json.ts";

const REMEDY = "save it again with a current version of transformers";

/**
 * Opens a tokenizer.json that was rewritten for the library.
 *
 * @param config The folder's `tokenizer_config.json`.
 * @param path Names the file in errors.
 * @throws {ModelError} if it is of a kind that the library does not know.
 */
export function openJavaScript(
  json: object,
  config: JsonFields,
  path: string,
): HuggingFaceTokenizer {
  // Nothing else of the config: the library would do what the format does not have.
  const settings = { additional_special_tokens: specialTokens(config) };
  let tokenizer: HuggingFaceTokenizer;
  try {
    tokenizer = new HuggingFaceTokenizer(json, settings);
  } catch (error) {
    throw new ModelError(
      `Cannot use the tokenizer in "${path}": ${reason(error)}; ${REMEDY}`,
      { cause: error },
    );
  }
  const guarded =
    <A extends unknown[], R>(what: string, method: (...args: A) => R) => (...args: A): R => {
      try {
        return method.apply(tokenizer, args);
      } catch (error) {
        throw new ModelError(
          `Cannot ${what} with the tokenizer in "${path}": ${reason(error)}; ${REMEDY}`,
          { cause: error },
        );
      }
    };
  const { encode, decode } = tokenizer;
  tokenizer.encode = guarded("encode", encode) as typeof encode;
  tokenizer.decode = guarded("decode", decode);
  return tokenizer;
}

/** Why the library cannot go on: in its words, or where JavaScript speaks, in others. */
function reason(error: unknown): string {
  const isOwn = !(error instanceof TypeError || error instanceof RangeError);
  if (!isOwn) return "some part of it is not of the form that it should have";
  const { message } = error as Error;
  return message.length > SHOWN ? `${message.slice(0, SHOWN)}…` : message;
}

/** What is shown of a message that repeats what the file holds. */
const SHOWN = 300;

/** The special tokens of `tokenizer_config.json` that have no name of their own there. */
function specialTokens(config: JsonFields): string[] {
  const given = config.raw("additional_special_tokens") ?? [];
  const tokens = Array.isArray(given)
    ? given.map((token) => isJsonObject(token) ? token.content : token)
    : [null];
  if (tokens.every((token) => typeof token === "string")) return tokens;
  throw config.error("additional_special_tokens", "a list of tokens");
}

/** The ids of a text by JavaScript. */
export function encoded(
  javascript: HuggingFaceTokenizer,
  text: string,
  unknown: number | null,
): number[] {
  if (text === "") return [];
  const { ids } = javascript.encode(text, { add_special_tokens: false });
  // Tokenizers of whole words give what they do not know no id, and others the one that they lack.
  const given: readonly (number | undefined | null)[] = ids;
  if (!given.includes(undefined) && !given.includes(null)) return ids;
  if (unknown === null) throw noToken(text);
  return given.map((id) => id ?? unknown);
}

/** The same, or none for a text with something that there is no token for. */
export function tried(
  javascript: HuggingFaceTokenizer,
  text: string,
  unknown: number | null,
): number[] {
  try {
    return encoded(javascript, text, unknown);
  } catch (error) {
    if (error instanceof DataError) return [];
    throw error;
  }
}

/** The error for a text with something that there is no token for. */
export function noToken(text: string, cause?: unknown): DataError {
  return new DataError(
    `Cannot tokenise ${showJson(text)} as the tokenizer has no token for a part of it, and none ` +
      "for what is unknown: leave that part out",
    { cause },
  );
}
