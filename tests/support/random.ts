/**
 * Random numbers of tests, each sequence from a seed.
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

/**
 * Uniform numbers in [-scale, scale), rounded to f32: mulberry32, as tolerances of single values hold for its draws.
 */
export function randomValues(length: number, seed: number, scale = 1): Float32Array<ArrayBuffer> {
  let state = seed >>> 0;
  return Float32Array.from({ length }, () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return (((t ^ (t >>> 14)) >>> 0) / 2 ** 31 - 1) * scale;
  });
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
