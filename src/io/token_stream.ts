/**
 * Text from generated tokens while they arrive, without broken characters.
 *
 * @module
 */

import { refuseKind } from "../checks.ts";

/** What a byte sequence that is not, or not yet, UTF-8 decodes to. */
const REPLACEMENT = "\uFFFD";

/**
 * Decodes tokens one by one into text that can be shown at once: joined, the pieces equal the text
 * of all tokens, and none ends within a character whose bytes are spread over several tokens.
 *
 * A token's text depends on the ones before it (whether its space is the first of the text, which
 * bytes it completes), so it is found as the difference of two decodings. To keep the cost of a
 * token constant, both start at the tokens of the last piece, not at the first token.
 */
export class TokenStream {
  readonly #decode: (ids: number[]) => string;
  /** The tokens of the last piece, then those that have given no text yet. */
  #ids: number[];
  /** How many of the ids the last piece came from. */
  #shown: number;

  /**
   * Starts a stream.
   *
   * @param decode The text of a list of ids.
   * @param context Ids that precede; their text is not repeated.
   */
  constructor(decode: (ids: number[]) => string, context: Iterable<number> = []) {
    this.#decode = decode;
    this.#ids = [...context].slice(-CONTEXT_TOKENS);
    this.#shown = this.#ids.length;
  }

  /** Adds a token; returns the text it completes, which may be empty. */
  push(id: number): string {
    if (typeof id !== "number") refuseKind("a token id", id, "a number");
    this.#ids.push(id);
    return this.#difference(false);
  }

  /** Returns what is left when no more tokens follow: a character cut short shows as U+FFFD. */
  end(): string {
    return this.#difference(true);
  }

  #difference(final: boolean): string {
    const before = this.#decode(this.#ids.slice(0, this.#shown));
    const text = this.#decode(this.#ids);
    if (text.length <= before.length || (text.endsWith(REPLACEMENT) && !final)) return "";
    this.#ids = this.#ids.slice(this.#shown);
    this.#shown = this.#ids.length;
    return text.slice(before.length);
  }
}

/** Enough to hold a whole character, whose bytes take at most four tokens, and one token before. */
const CONTEXT_TOKENS = 5;
