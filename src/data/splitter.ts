/**
 * The interface of what finds rows in the bytes of a file; there is one implementation per format.
 *
 * Bytes are split rather than text, which keeps invalid UTF-8 the problem of one record: no byte of
 * a multi-byte character can be mistaken for a line feed, a quote or a bracket.
 *
 * @module
 */

/** Receives what a {@linkcode Splitter} finds while it scans. */
export interface SplitterSink {
  /** `bytes[start, end)` is one record. */
  record(start: number, end: number): void;
  /**
   * The file is malformed at `offset` in a way that hides where records start.
   *
   * @param problem Says what is wrong and how to correct it.
   */
  fail(offset: number, problem: string): never;
}

/** Finds the records in a stream of bytes. */
export interface Splitter {
  /**
   * Scans `bytes`, which start with the first byte not yet used up.
   *
   * @param from Where the bytes not seen before start.
   * @param last Whether the file ends with these bytes.
   * @returns The number of bytes used up.
   */
  scan(bytes: Uint8Array, from: number, last: boolean, sink: SplitterSink): number;
}

/** ASCII codes that the splitters look for. */
export const ASCII = {
  tab: 0x09,
  lineFeed: 0x0a,
  carriageReturn: 0x0d,
  space: 0x20,
  quote: 0x22,
  comma: 0x2c,
  semicolon: 0x3b,
  openBracket: 0x5b,
  backslash: 0x5c,
  closeBracket: 0x5d,
  openBrace: 0x7b,
  closeBrace: 0x7d,
} as const;

/** Whether `byte` is white space in JSON. */
export function isSpace(byte: number): boolean {
  return byte === ASCII.space || byte === ASCII.lineFeed || byte === ASCII.carriageReturn ||
    byte === ASCII.tab;
}
