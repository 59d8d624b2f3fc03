/**
 * Learns the merges of a byte-pair encoding from text.
 *
 * @module
 */

import { DataError } from "../../../src/errors.ts";

/** A learnt byte-pair encoding. */
export interface BytePairEncoding {
  /** The characters that the text is made of, sorted. */
  alphabet: string[];
  /** Pairs of pieces that become one piece, the most useful first. */
  merges: [string, string][];
}

/** Between the pieces of a pair used as a key; the text cannot contain it, being no character. */
const BETWEEN = "\ud800";

/**
 * Learns as many merges as make alphabet and merged pieces `pieceCount` in all.
 *
 * @param words Every word of the text with its count; no piece ever spans two words.
 * @throws {DataError} where the words are too few for that many pieces.
 */
export function learnMerges(
  words: ReadonlyMap<string, number>,
  pieceCount: number,
): BytePairEncoding {
  const segmented = [...words].map(([word, count]) => ({ pieces: [...word], count }));
  const alphabet = [...new Set(segmented.flatMap(({ pieces }) => pieces))].sort();
  const merges: [string, string][] = [];
  while (alphabet.length + merges.length < pieceCount) {
    const pair = mostFrequentPair(segmented);
    if (pair === null) {
      throw new DataError(
        `The words give ${alphabet.length + merges.length} pieces, but ${pieceCount} are wanted: ` +
          `use more text or a smaller vocabulary`,
      );
    }
    const [left, right] = pair;
    merges.push([left, right]);
    for (const word of segmented) word.pieces = mergePair(word.pieces, left, right);
  }
  return { alphabet, merges };
}

function mostFrequentPair(
  words: readonly { pieces: readonly string[]; count: number }[],
): [string, string] | null {
  const counts = new Map<string, number>();
  for (const { pieces, count } of words) {
    for (let i = 1; i < pieces.length; i++) {
      const pair = pieces[i - 1] + BETWEEN + pieces[i];
      counts.set(pair, (counts.get(pair) ?? 0) + count);
    }
  }
  // Ties go to the pair that sorts first, so that the order of the words does not matter.
  let best: [string, number] = ["", 0];
  for (const [pair, count] of counts) {
    if (count > best[1] || (count === best[1] && pair < best[0])) best = [pair, count];
  }
  return best[1] === 0 ? null : best[0].split(BETWEEN) as [string, string];
}

function mergePair(pieces: readonly string[], left: string, right: string): string[] {
  const merged: string[] = [];
  for (let i = 0; i < pieces.length; i++) {
    const isPair = pieces[i] === left && pieces[i + 1] === right;
    merged.push(isPair ? left + right : pieces[i]);
    if (isPair) i++;
  }
  return merged;
}
