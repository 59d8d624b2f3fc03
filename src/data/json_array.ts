/**
 * Finds the rows of a file that is one JSON array, without parsing or holding the whole file.
 *
 * @module
 */

import { ASCII, isSpace, type Splitter, type SplitterSink } from "./splitter.ts";

/** Where the scan stands in the array. */
type State = "before" | "value expected" | "in value" | "after";

/**
 * Records of a JSON array: its elements. Only strings and nesting are followed;
 * `JSON.parse` parses each element later and finds all other mistakes.
 */
export class JsonArraySplitter implements Splitter {
  #state: State = "before";
  #first = true;
  #depth = 0;
  #inString = false;
  #escaped = false;

  /** Reports every complete element. */
  scan(bytes: Uint8Array, from: number, last: boolean, sink: SplitterSink): number {
    // Bytes of an unfinished element stay; everything else is used up.
    let start = 0;
    let at = from;
    while (at < bytes.length) {
      if (this.#state === "in value") {
        at = this.#skipValue(bytes, at);
        if (at === bytes.length) break;
        sink.record(start, at);
        this.#state = bytes[at] === ASCII.comma ? "value expected" : "after";
      } else if (!isSpace(bytes[at])) {
        if (this.#state === "after") {
          sink.fail(at, broken("something follows the end of the array"));
        } else if (this.#state === "before") {
          this.#state = "value expected";
        } else if (bytes[at] === ASCII.closeBracket && this.#first) {
          this.#state = "after";
        } else if (bytes[at] === ASCII.comma || bytes[at] === ASCII.closeBracket) {
          sink.fail(at, broken("a value is missing"));
        } else {
          this.#state = "in value";
          this.#first = false;
          start = at;
          continue;
        }
      }
      at++;
    }
    if (last && this.#state !== "after") sink.fail(bytes.length, broken("the array is not closed"));
    return this.#state === "in value" ? start : bytes.length;
  }

  /** The index of the comma or bracket that ends the value, or the length of `bytes`. */
  #skipValue(bytes: Uint8Array, from: number): number {
    let depth = this.#depth;
    let inString = this.#inString;
    let escaped = this.#escaped;
    let at = from;
    for (; at < bytes.length; at++) {
      const byte = bytes[at];
      if (inString) {
        if (escaped) escaped = false;
        else if (byte === ASCII.backslash) escaped = true;
        else if (byte === ASCII.quote) inString = false;
      } else if (byte === ASCII.quote) {
        inString = true;
      } else if (byte === ASCII.openBrace || byte === ASCII.openBracket) {
        depth++;
      } else if (depth > 0) {
        if (byte === ASCII.closeBrace || byte === ASCII.closeBracket) depth--;
      } else if (byte === ASCII.comma || byte === ASCII.closeBracket) {
        break;
      }
    }
    this.#depth = depth;
    this.#inString = inString;
    this.#escaped = escaped;
    return at;
  }
}

function broken(problem: string): string {
  return `it breaks the JSON array (${problem}); correct the file or write one JSON object per line`;
}
