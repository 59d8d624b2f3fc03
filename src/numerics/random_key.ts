/**
 * Keys of random sequences whose numbers depend on a key and an index only, so that a GPU can
 * compute them in any order; and the constants by which integers become numbers. The kernel is
 * wgsl/rows/random.wgsl, its CPU twin tests/oracle/random.ts.
 *
 * @module
 */

/** Which sequence of random numbers: two 32-bit words. */
export interface RandomKey {
  low: number;
  high: number;
}

/** A key of random words, each made of a uniform number in [0, 1). */
export function drawKey(random: () => number): RandomKey {
  const word = () => Math.floor(random() * 2 ** 32);
  return { low: word(), high: word() };
}

/** Uniform 16-bit integers that are added per number: two per word, four words. */
export const TERMS = 8;

/** The standard deviation of the sum of {@linkcode TERMS} uniform integers below 2^16. */
export const integerDeviation: number = Math.sqrt(TERMS * (2 ** 32 - 1) / 12);

/** Uniform numbers are integers below this, scaled: f32 holds all of them exactly. */
export const UNIFORM_BOUND: number = 2 ** 24;
