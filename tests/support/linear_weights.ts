/** Weights of a merged linear layer under test, and the source that loads them. */

import type { LinearSpec } from "../../src/layers/linear_spec.ts";
import type { WeightSource } from "../../src/layers/weight_source.ts";
import { randomValues } from "./random.ts";

/** Random weights, packed f32 [rows, inFeatures] of each part. */
export function randomWeights(
  { parts, inFeatures }: LinearSpec,
): { weights: Float32Array<ArrayBuffer>[]; source: WeightSource } {
  const weights = parts.map(({ rows }, i) => randomValues(rows * inFeatures, i + 1, 0.3));
  const source: WeightSource = {
    rows(name, [, cols], first, count) {
      const index = parts.findIndex(({ module }) => name === `${module}.weight`);
      return Promise.resolve(weights[index].slice(first * cols, (first + count) * cols));
    },
    codes: () => Promise.resolve(null),
  };
  return { weights, source };
}
