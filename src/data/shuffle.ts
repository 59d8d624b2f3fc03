/**
 * Shuffles rows while they stream, because a data set may be larger than memory.
 *
 * @module
 */

import type { Random } from "../numerics/random.ts";
import type { RawRow } from "./types.ts";

/** Longest total text kept in a shuffle buffer, in UTF-16 units. */
const MAX_TEXT_LENGTH = 1 << 26;

/**
 * A shuffle of a stream with bounded memory: each row that comes in pushes out
 * a random row of the buffer. A source that fits in the buffer is shuffled
 * uniformly. The order depends only on the rows and the random stream.
 */
export class ShuffleBuffer {
  readonly #size: number;
  readonly #random: Random;
  readonly #rows: RawRow[] = [];
  #textLength = 0;

  /**
   * An empty buffer.
   *
   * @param size Rows kept; fewer when their text is very long.
   * @param random Decides which row leaves.
   */
  constructor(size: number, random: Random) {
    this.#size = size;
    this.#random = random;
  }

  /** Adds `incoming` and returns the rows that had to leave, in their new order. */
  push(incoming: RawRow[]): RawRow[] {
    const leaving: RawRow[] = [];
    for (const row of incoming) {
      this.#rows.push(row);
      this.#textLength += row.text?.length ?? 0;
      while (this.#rows.length > this.#size || this.#textLength > MAX_TEXT_LENGTH) {
        leaving.push(this.#takeAny());
      }
    }
    return leaving;
  }

  /** Empties the buffer and returns its rows in random order. */
  drain(): RawRow[] {
    const leaving: RawRow[] = [];
    while (this.#rows.length > 0) leaving.push(this.#takeAny());
    return leaving;
  }

  #takeAny(): RawRow {
    const rows = this.#rows;
    const chosen = this.#random.below(rows.length);
    const row = rows[chosen];
    rows[chosen] = rows[rows.length - 1];
    rows.pop();
    this.#textLength -= row.text?.length ?? 0;
    return row;
  }
}
