/** A flat stream of tokens holding one or more documents. */
export interface TokenStream {
  /** Token ids of all documents, one after the other. */
  inputIds: ArrayLike<number>;
  /** Position of each token within its document. */
  positions: ArrayLike<number>;
  /** Index at which each token's document begins. */
  documentStart: ArrayLike<number>;
}

/**
 * Packs documents into one stream, each with positions from 0.
 *
 * @param documents Token ids of each document.
 * @returns The stream.
 */
export function packDocuments(documents: readonly ArrayLike<number>[]): TokenStream {
  const inputIds: number[] = [];
  const positions: number[] = [];
  const documentStart: number[] = [];
  for (const document of documents) {
    const start = inputIds.length;
    for (let i = 0; i < document.length; i++) {
      inputIds.push(document[i]);
      positions.push(i);
      documentStart.push(start);
    }
  }
  return { inputIds, positions, documentStart };
}

/** Start and end (exclusive) of each token's document. */
export function documentBounds(lengths: number[]): Uint32Array<ArrayBuffer> {
  const bounds: number[] = [];
  let start = 0;
  for (const length of lengths) {
    for (let i = 0; i < length; i++) bounds.push(start, start + length);
    start += length;
  }
  return Uint32Array.from(bounds);
}
