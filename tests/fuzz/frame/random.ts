/**
 * Random numbers of fuzz inputs: those of an input are a function of seed and index, so that any input can be made
 * again without those before it.
 *
 * @module
 */

/** Random choices for one input. */
export class FuzzRandom {
  /** sfc32's state. */
  readonly #state: Uint32Array;

  /**
   * @param seed Of the campaign.
   * @param index Of the input.
   */
  constructor(seed: number, index: number) {
    this.#state = Uint32Array.of(
      seed >>> 0,
      index >>> 0,
      Math.floor(index / 2 ** 32) ^ 0x5bd1e995,
      1,
    );
    for (let i = 0; i < 15; i++) this.#next();
  }

  /** Uniform in [0, 1). */
  uniform(): number {
    return this.#next() / 2 ** 32;
  }

  /** A whole number in [0, below). */
  below(below: number): number {
    return Math.floor(this.uniform() * below);
  }

  /** A whole number from `low` to `high`, both included. */
  between(low: number, high: number): number {
    return low + this.below(high - low + 1);
  }

  /** True with a probability. */
  chance(probability: number): boolean {
    return this.uniform() < probability;
  }

  /** One of several. */
  pick<T>(choices: ArrayLike<T>): T {
    return choices[this.below(choices.length)];
  }

  /** A count of at least 1 that is small most of the time: each further one with `more`. */
  few(more = 0.5, most = 12): number {
    let count = 1;
    while (count < most && this.chance(more)) count++;
    return count;
  }

  #next(): number {
    const s = this.#state;
    const t = (s[0] + s[1] + s[3]) >>> 0;
    s[3]++;
    s[0] = s[1] ^ (s[1] >>> 9);
    s[1] = s[2] + (s[2] << 3);
    s[2] = ((s[2] << 21) | (s[2] >>> 11)) + t;
    return t;
  }
}
