/**
 * Random numbers of tests: all from one generator, each sequence from a seed.
 *
 * @module
 */

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

/** Uniform numbers in [-scale, scale), rounded to f32. */
export function randomValues(length: number, seed: number, scale = 1): Float32Array<ArrayBuffer> {
  const random = randomGenerator(seed);
  return Float32Array.from({ length }, () => (2 * random() - 1) * scale);
}

/**
 * An array of normally distributed numbers (Box-Muller).
 *
 * @param size How many.
 * @param seed Of the generator.
 * @returns The numbers, mean 0, variance 1.
 */
export function randomNormal(size: number, seed: number): Float64Array {
  const random = randomGenerator(seed);
  return Float64Array.from({ length: size }, () => {
    const radius = Math.sqrt(-2 * Math.log(1 - random()));
    return radius * Math.cos(2 * Math.PI * random());
  });
}
