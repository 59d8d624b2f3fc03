/**
 * A tokenised example, which the plain-text, completion and chat tokenisers all produce.
 *
 * @module
 */

/** An example as tokens, of any length. */
export interface TokenizedExample {
  /** Token ids, special tokens included. */
  ids: Uint32Array;
  /** Label of each token, not shifted. */
  labels: Int32Array;
  /** Leading tokens that only give context: those before the first answer. 0 for plain text. */
  promptLength: number;
}

/** A document to be: what it needs of the tokenizer. */
export interface TokenPlan {
  /** The texts to encode, without special tokens. */
  texts: string[];
  /** The document, from the ids of each text. */
  finish(encoded: ArrayLike<number>[]): TokenizedExample;
}

/** The labels under which every token is a target: the ids, shared. */
export function allTargets(ids: Uint32Array): Int32Array {
  return new Int32Array(ids.buffer, ids.byteOffset, ids.length);
}

/** Length of the longest common prefix of two token sequences. */
export function commonPrefixLength(a: ArrayLike<number>, b: ArrayLike<number>): number {
  const longest = Math.min(a.length, b.length);
  let length = 0;
  while (length < longest && a[length] === b[length]) length++;
  return length;
}
