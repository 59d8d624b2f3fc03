/**
 * Random numbers that depend on a key and an index only, so that a GPU makes them in any order: the twin of
 * `wgsl/rows/random.wgsl`, the same to the bit in f32.
 *
 * @module
 */

import { hash32, mix32 } from "../../src/numerics/random.ts";
import {
  integerDeviation,
  type RandomKey,
  TERMS,
  UNIFORM_BOUND,
} from "../../src/numerics/random_key.ts";

/** The key of a named sequence, such as a tensor's, under a seed. */
export function randomKey(seed: number, name: string): RandomKey {
  const word = (stream: number) => {
    let hash = hash32(seed, stream);
    for (let i = 0; i < name.length; i++) hash = mix32(hash ^ name.charCodeAt(i));
    return hash;
  };
  return { low: word(0), high: word(1) };
}

/** Twice the mean of a uniform 16-bit integer, times half the terms. */
const CENTRE = TERMS * 65535 / 2;

/** Numbers `first` to `first + count` of a sequence with a mean and a standard deviation, rounded to f32. */
export function normalValues(
  { low, high }: RandomKey,
  { mean, deviation }: { mean: number; deviation: number },
  first: number,
  count: number,
): Float32Array<ArrayBuffer> {
  const step = Math.fround(deviation / integerDeviation);
  const values = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    const start = mix32(first + i + low) + high;
    let sum = 0;
    for (let j = 0; j < TERMS / 2; j++) {
      const word = mix32(start + Math.imul(j, 0x9e3779b9));
      sum += (word & 0xffff) + (word >>> 16);
    }
    values[i] = mean + step * (sum - CENTRE);
  }
  return values;
}

/** Numbers `first` to `first + count` of a sequence that is uniform between −bound and bound, rounded to f32. */
export function uniformValues(
  { low, high }: RandomKey,
  bound: number,
  first: number,
  count: number,
): Float32Array<ArrayBuffer> {
  const step = Math.fround(bound / UNIFORM_BOUND);
  const values = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    const word = mix32(mix32(first + i + low) + high);
    values[i] = step * (2 * (word >>> 8) - (UNIFORM_BOUND - 1));
  }
  return values;
}
