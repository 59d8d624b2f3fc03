/**
 * Random choices of the generator: the same seed gives the same corpus on every machine.
 *
 * @module
 */

import { Random as UniformRandom } from "../../../src/numerics/random.ts";

/** A seeded generator with choices from lists. */
export class Random extends UniformRandom {
  /** One element of a non-empty list. */
  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)];
  }

  /** `count` different elements of a list, in random order. */
  sample<T>(list: readonly T[], count: number): T[] {
    const rest = [...list];
    return Array.from({ length: count }, () => rest.splice(this.below(rest.length), 1)[0]);
  }
}
