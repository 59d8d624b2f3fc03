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
  /** Reports the text before every blank line. */
  scan(bytes: Uint8Array, from: number, last: boolean, sink: SplitterSink): number {
    let start = 0;
    let at = from;
    // A blank line may have begun in the bytes already seen.
    while (at > 0 && isSpace(bytes[at - 1])) at--;
    while ((at = bytes.indexOf(ASCII.lineFeed, at)) >= 0) {
      let next = at + 1;
      while (next < bytes.length && isSpace(bytes[next]) && bytes[next] !== ASCII.lineFeed) next++;
      if (bytes[next] === ASCII.lineFeed) {
        sink.record(start, at);
        start = next;
      }
      at = next;
    }
    if (!last) return start;
    sink.record(start, bytes.length);
    return bytes.length;
  }
}
