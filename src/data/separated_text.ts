/**
 * Finds the texts of a plain text file: between separators or between blank lines.
 *
 * @module
 */

import { ASCII, isSpace, type Splitter, type SplitterSink } from "./splitter.ts";

/** Records of a text file with a literal separator, such as `<|endoftext|>`. */
export class SeparatedTextSplitter implements Splitter {
  readonly #separator: Uint8Array;

  /**
   * A splitter at the start of a file.
   *
   * @param separator A text that is not empty.
   */
  constructor(separator: string) {
    this.#separator = new TextEncoder().encode(separator);
  }

  /** Reports the text before every separator. */
  scan(bytes: Uint8Array, from: number, last: boolean, sink: SplitterSink): number {
    const separator = this.#separator;
    let start = 0;
    // The separator may have begun in the bytes already seen.
    let at = Math.max(0, from - separator.length + 1);
    while ((at = bytes.indexOf(separator[0], at)) >= 0 && at + separator.length <= bytes.length) {
      let same = 1;
      while (same < separator.length && bytes[at + same] === separator[same]) same++;
      if (same < separator.length) {
        at++;
      } else {
        sink.record(start, at);
        start = at += separator.length;
      }
    }
    if (!last) return start;
    sink.record(start, bytes.length);
    return bytes.length;
  }
}

/** Records of a text file with blank lines between them. */
export class ParagraphSplitter implements Splitter {
  /** The last line feed behind which only space was seen so far, or −1. */
  #lineFeed = -1;

  /** Reports the text before every blank line. */
  scan(bytes: Uint8Array, from: number, last: boolean, sink: SplitterSink): number {
    let start = 0;
    for (let at = from; at < bytes.length; at++) {
      const byte = bytes[at];
      if (byte === ASCII.lineFeed) {
        if (this.#lineFeed >= 0) {
          sink.record(start, this.#lineFeed);
          start = at;
        }
        this.#lineFeed = at;
      } else if (!isSpace(byte)) {
        this.#lineFeed = -1;
      }
    }
    if (this.#lineFeed >= 0) this.#lineFeed -= start;
    if (!last) return start;
    sink.record(start, bytes.length);
    return bytes.length;
  }
}
