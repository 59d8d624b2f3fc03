/**
 * A seeded generator of uniform numbers in [0, 1) for reproducible tests (xorshift32).
 *
 * @param seed Any positive integer.
 * @returns A function that gives the next number, with 32 random bits.
 */
export function randomGenerator(seed: number): () => number {
  let state = (seed * 2654435761) >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state / 2 ** 32;
  };
}
