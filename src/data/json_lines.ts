/**
 * Finds the rows of a JSONL file.
 *
 * @module
 */

import { ASCII, type Splitter, type SplitterSink } from "./splitter.ts";

/** Records of a JSONL file: its lines. The last one may lack its line feed. */
export class JsonLinesSplitter implements Splitter {
  /** Reports every complete line. */
  scan(bytes: Uint8Array, from: number, last: boolean, sink: SplitterSink): number {
    let start = 0;
    let end = bytes.indexOf(ASCII.lineFeed, from);
    while (end >= 0) {
      sink.record(start, end);
      start = end + 1;
      end = bytes.indexOf(ASCII.lineFeed, start);
    }
    if (!last) return start;
    if (start < bytes.length) sink.record(start, bytes.length);
    return bytes.length;
  }
}
