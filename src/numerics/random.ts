/**
 * Seeded random numbers: xoshiro128** 1.1 (Blackman and Vigna), which passes
 * BigCrush, needs only 32-bit integer arithmetic and so gives the same stream
 * on every machine, and whose state is four words that a checkpoint can hold.
 *
 * @module
 */

/** The four 32-bit words of a generator. */
export type RandomState = [number, number, number, number];

/** A bijection of 32-bit words whose output bits each depend on all input bits. */
export function mix32(word: number): number {
  let z = word | 0;
  z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
  z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
  return (z ^ (z >>> 15)) >>> 0;
}

/** A 32-bit hash of two non-negative integers up to 2^53. */
export function hash32(a: number, b: number): number {
  let hash = 0x9e3779b9;
  for (const word of [a, a / 2 ** 32, b, b / 2 ** 32]) {
    hash = mix32(hash + Math.floor(word % 2 ** 32));
  }
  return hash;
}

function rotateLeft(word: number, count: number): number {
  return (word << count) | (word >>> (32 - count));
}

/** A seeded generator of uniform random numbers. */
export class Random {
  #words: Uint32Array = new Uint32Array(4);

  /**
   * A generator at the start of a stream.
   *
   * @param seed A non-negative integer up to 2^53.
   * @param stream Independent streams of one seed, for instance one per epoch.
   */
  constructor(seed: number, stream = 0) {
    const start = hash32(seed, stream);
    // Four different inputs of a bijection: at most one word is zero, and
    // xoshiro only breaks down when all are.
    for (let i = 0; i < 4; i++) this.#words[i] = mix32(start + Math.imul(i + 1, 0x9e3779b9));
  }

  /** The state: set it to continue a stream exactly. */
  get state(): RandomState {
    return [...this.#words] as RandomState;
  }

  set state(words: RandomState) {
    this.#words.set(words);
  }

  /** The next 32 random bits. */
  uint32(): number {
    const s = this.#words;
    const result = Math.imul(rotateLeft(Math.imul(s[1], 5), 7), 9) >>> 0;
    const shifted = s[1] << 9;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = rotateLeft(s[3], 11);
    return result;
  }

  /** A number in [0, 1) with 32 random bits. */
  uniform(): number {
    return this.uint32() / 2 ** 32;
  }

  /** An integer in [0, `bound`), without bias; `bound` is 1 to 2^32. */
  below(bound: number): number {
    // Words at or above the largest multiple of the bound would favour small remainders.
    const limit = 2 ** 32 - (2 ** 32 % bound);
    let word = this.uint32();
    while (word >= limit) word = this.uint32();
    return word % bound;
  }
}
