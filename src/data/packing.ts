/**
 * Packing: short documents share a row, so that little of a batch is padding.
 *
 * @module
 */

import type { Document } from "./types.ts";

/**
 * Packs documents into rows of at most `sequenceLength` tokens by first fit:
 * each document, in order, goes into the first row in which it fits.
 *
 * @param documents Each of at most `sequenceLength` tokens.
 * @returns The documents of each row.
 */
export function packFirstFit(documents: Document[], sequenceLength: number): Document[][] {
  const rows: Document[][] = [];
  /** Free tokens of each row. */
  const free: number[] = [];
  // Rows before this one are full: a document with a target has at least two tokens.
  let firstOpen = 0;
  for (const document of documents) {
    const length = document.ids.length;
    let row = firstOpen;
    while (row < rows.length && free[row] < length) row++;
    if (row === rows.length) {
      rows.push([]);
      free.push(sequenceLength);
    }
    rows[row].push(document);
    free[row] -= length;
    while (firstOpen < rows.length && free[firstOpen] < 2) firstOpen++;
  }
  return rows;
}
