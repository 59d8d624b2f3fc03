import { Random } from "../../src/numerics/random.ts";

/**
 * A seeded generator for reproducible tests.
 *
 * @param seed Any non-negative integer.
 * @returns A function that gives the next uniform number in [0, 1), with 32 random bits.
 */
export function randomGenerator(seed: number): () => number {
  const random = new Random(seed);
  return () => random.uniform();
}
