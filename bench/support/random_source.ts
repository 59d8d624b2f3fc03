/**
 * Weights of an untrained model, made on the GPU: measurements need no files.
 *
 * @module
 */

import type { Matrix } from "../../src/gpu/buffers.ts";
import type { Program } from "../../src/gpu/program.ts";
import { randomNormal } from "../../src/kernels/rows/random.ts";
import { normalValues, randomKey } from "../../tests/oracle/random.ts";
import type { WeightSource } from "../../src/layers/weight_source.ts";

/**
 * The initialisation of LLaMA: norms are 1, everything else is normal with standard deviation 0.02.
 */
export class RandomSource implements WeightSource {
  #seed: number;

  constructor(seed: number) {
    this.#seed = seed;
  }

  fill(program: Program, name: string, out: Matrix): void {
    randomNormal(program, { key: randomKey(this.#seed, name), ...distribution(name), out });
  }

  rows(
    name: string,
    [, cols]: readonly [number, number],
    first: number,
    count: number,
  ): Promise<Float32Array<ArrayBuffer>> {
    const key = randomKey(this.#seed, name);
    return Promise.resolve(normalValues(key, distribution(name), first * cols, count * cols));
  }

  codes(): Promise<null> {
    return Promise.resolve(null);
  }
}

function distribution(name: string): { mean: number; deviation: number } {
  return /norm\.weight$/.test(name) ? { mean: 1, deviation: 0 } : { mean: 0, deviation: 0.02 };
}
