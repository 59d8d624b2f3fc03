/**
 * Choosing the next token from a model's logits.
 *
 * @module
 */

import { checkInteger, type Names, refuseValue } from "../checks.ts";
import { Random } from "../numerics/random.ts";
import { ModelError } from "../errors.ts";

/** Options of sampling. */
export interface SamplingOptions {
  /**
   * The logits are divided by it: below 1 sharpens the distribution; 0 always takes the likeliest
   * token. Default 0.8.
   */
  temperature?: number;
  /**
   * Draw from the smallest set of likeliest tokens whose probabilities add up to at least this.
   * Default 0.95.
   */
  topP?: number;
  /** The same seed draws the same tokens from the same logits. Default: a new one each time. */
  seed?: number;
}

/** The names of {@linkcode SamplingOptions}. */
export const SAMPLING_NAMES: Names<SamplingOptions> = { temperature: true, topP: true, seed: true };

/** Chooses a token id by its logits [vocabSize]. */
export type Sampler = (logits: Float32Array) => number;

/**
 * Makes a sampler with its own stream of random numbers.
 *
 * The sampler throws a {@linkcode ModelError} for logits that are not finite.
 *
 * @throws {OptionError} for options out of range.
 */
export function createSampler(options: SamplingOptions = {}): Sampler {
  const { temperature = 0.8, topP = 0.95, seed = Math.floor(Math.random() * 2 ** 32) } = options;
  if (!(typeof temperature === "number" && temperature >= 0 && temperature < Infinity)) {
    refuseValue(
      "temperature",
      temperature,
      "0 to take the likeliest token, or a finite number above it",
    );
  }
  if (!(typeof topP === "number" && topP > 0 && topP <= 1)) {
    refuseValue("topP", topP, "a share above 0 and at most 1, which is all tokens");
  }
  checkInteger("seed", seed, 0);
  const random = new Random(seed);
  return (logits) => {
    const best = likeliest(logits);
    return temperature === 0 ? best : draw(logits, best, temperature, topP, random);
  };
}

/** The id of the largest logit, the first of equals. */
function likeliest(logits: Float32Array): number {
  let best = 0;
  for (let id = 0; id < logits.length; id++) {
    if (!Number.isFinite(logits[id])) {
      throw new ModelError(
        `Cannot choose a token as the model's logit of token ${id} is ${
          logits[id]
        }, not a finite ` +
          "number: its weights are damaged, or their training diverged; load an earlier checkpoint",
      );
    }
    if (logits[id] > logits[best]) best = id;
  }
  return best;
}

function draw(
  logits: Float32Array,
  best: number,
  temperature: number,
  topP: number,
  random: Random,
): number {
  // Probabilities times an unknown factor: that of the likeliest token is 1.
  const weights = new Float64Array(logits.length);
  let total = 0;
  for (let id = 0; id < logits.length; id++) {
    weights[id] = Math.exp((logits[id] - logits[best]) / temperature);
    total += weights[id];
  }
  const { ids, sum } = nucleus(weights, total, topP);
  let rest = random.uniform() * sum;
  for (const id of ids) {
    rest -= weights[id];
    if (rest < 0) return id;
  }
  return best; // reached only through rounding
}

/**
 * The smallest set of ids, of equals the lower first, that holds a share of at least `topP` of
 * `total`.
 */
function nucleus(
  weights: Float64Array,
  total: number,
  topP: number,
): { ids: number[]; sum: number } {
  const ids: number[] = [];
  // All tokens below this together hold less than 1 - topP, so the set is among the others: few are
  // left to sort.
  const floor = (1 - topP) * total / weights.length;
  for (let id = 0; id < weights.length; id++) {
    if (weights[id] >= floor) ids.push(id);
  }
  if (topP === 1) return { ids, sum: total };
  ids.sort((a, b) => weights[b] - weights[a] || a - b);
  let sum = 0;
  let count = 0;
  while (count < ids.length && sum < topP * total) sum += weights[ids[count++]];
  return { ids: ids.slice(0, count), sum };
}
