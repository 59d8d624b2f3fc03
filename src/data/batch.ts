/**
 * Builds batches: documents side by side in flat arrays, padded to a static shape, because the
 * programs on the GPU are recorded once for one shape.
 *
 * @module
 */

import { type Batch, type Document, IGNORED_LABEL, type LoaderPosition } from "./types.ts";

/** Fills the arrays of one batch, row by row. */
export class BatchBuilder {
  readonly #rows: number;
  readonly #sequenceLength: number;
  readonly #inputIds: Uint32Array<ArrayBuffer>;
  readonly #targets: Int32Array<ArrayBuffer>;
  readonly #positions: Uint32Array<ArrayBuffer>;
  readonly #documentStart: Uint32Array<ArrayBuffer>;
  readonly #documentEnd: Uint32Array<ArrayBuffer>;
  #filledRows = 0;
  #targetCount = 0;
  #tokenCount = 0;

  /**
   * Starts with padding everywhere. Each padding token is a document of its
   * own, so that attention over it costs one key.
   */
  constructor(rows: number, sequenceLength: number, padTokenId: number) {
    const size = rows * sequenceLength;
    this.#rows = rows;
    this.#sequenceLength = sequenceLength;
    this.#inputIds = new Uint32Array(size).fill(padTokenId);
    this.#targets = new Int32Array(size).fill(IGNORED_LABEL);
    this.#positions = new Uint32Array(size);
    this.#documentStart = new Uint32Array(size);
    this.#documentEnd = new Uint32Array(size);
    for (let i = 0; i < size; i++) {
      this.#documentStart[i] = i;
      this.#documentEnd[i] = i + 1;
    }
  }

  /** Rows that hold documents so far. */
  get filledRows(): number {
    return this.#filledRows;
  }

  /** Whether every row holds documents. */
  get full(): boolean {
    return this.#filledRows === this.#rows;
  }

  /** Fills the next row with documents that fit into it together. */
  addRow(documents: Document[]): void {
    let start = this.#filledRows++ * this.#sequenceLength;
    for (const { ids, labels } of documents) {
      const end = start + ids.length;
      this.#inputIds.set(ids, start);
      this.#targets.set(labels.subarray(1), start);
      this.#documentStart.fill(start, start, end);
      this.#documentEnd.fill(end, start, end);
      for (let i = 1; i < ids.length; i++) {
        this.#positions[start + i] = i;
        if (labels[i] !== IGNORED_LABEL) this.#targetCount++;
      }
      this.#tokenCount += ids.length;
      start = end;
    }
  }

  /** The batch, as the point `position` is reached. */
  finish(position: LoaderPosition, waitMs: number): Batch {
    return {
      rows: this.#rows,
      sequenceLength: this.#sequenceLength,
      inputIds: this.#inputIds,
      targets: this.#targets,
      positions: this.#positions,
      documentStart: this.#documentStart,
      documentEnd: this.#documentEnd,
      targetCount: this.#targetCount,
      tokenCount: this.#tokenCount,
      position,
      waitMs,
    };
  }
}
