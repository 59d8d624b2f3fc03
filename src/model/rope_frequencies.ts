/**
 * The frequencies of rotary position embedding. Position `p` turns the plane `(i, i + headDim / 2)`
 * of each query and key by the angle `p · inverseFrequency[i]`.
 *
 * @module
 */

import type { RopePlan } from "./plan.ts";
import type { YarnRopeScaling } from "./rope_scaling.ts";

/**
 * The inverse frequencies of the planes of a head, in radians per token: `[headDim / 2]`, computed
 * in float64 and rounded once. The planes that turn come first; the others have frequency 0. Where
 * only a part of a head turns, the components of a head must be in that order.
 *
 * @param long Whether for documents longer than the original context, which only `longrope`
 * distinguishes.
 */
export function ropeInverseFrequencies(
  rope: RopePlan,
  headDim: number,
  long = false,
): Float32Array<ArrayBuffer> {
  const frequencies = new Float32Array(headDim / 2);
  for (let i = 0; i < rope.rotatedDims / 2; i++) {
    frequencies[i] = scaleFrequency(rope.theta ** (-2 * i / rope.rotatedDims), i, rope, long);
  }
  return frequencies;
}

function scaleFrequency(frequency: number, plane: number, rope: RopePlan, long: boolean): number {
  const { scaling } = rope;
  if (scaling === null) return frequency;
  switch (scaling.type) {
    case "linear":
      return frequency / scaling.factor;
    case "proportional":
      return plane < scaling.turnedPlanes ? frequency / scaling.factor : 0;
    case "longrope":
      return frequency / (long ? scaling.longFactors : scaling.shortFactors)[plane];
    case "yarn": {
      const slow = yarnSlowness(plane, rope, scaling);
      return slow * frequency / scaling.factor + (1 - slow) * frequency;
    }
    case "llama3": {
      const { factor, lowFreqFactor, highFreqFactor, originalMaxPositionEmbeddings } = scaling;
      const turns = originalMaxPositionEmbeddings * frequency / (2 * Math.PI);
      const fast = clamp01((turns - lowFreqFactor) / (highFreqFactor - lowFreqFactor));
      return (1 - fast) * frequency / factor + fast * frequency;
    }
  }
}

/** How much of a plane's frequency is divided: 0 for the fast planes, 1 for the slow ones. */
function yarnSlowness(
  plane: number,
  { theta, rotatedDims }: RopePlan,
  { betaFast, betaSlow, truncate, originalMaxPositionEmbeddings }: YarnRopeScaling,
): number {
  /** The plane, rarely a whole number, that makes so many turns in the original context. */
  const planeOf = (turns: number) =>
    rotatedDims * Math.log(originalMaxPositionEmbeddings / (2 * Math.PI * turns)) /
    (2 * Math.log(theta));
  const [fast, slow] = [planeOf(betaFast), planeOf(betaSlow)];
  // The upper bound is one of components, not of planes: so in transformers, and so models learned.
  const first = Math.max(truncate ? Math.floor(fast) : fast, 0);
  const last = Math.min(truncate ? Math.ceil(slow) : slow, rotatedDims - 1);
  return clamp01((plane - first) / (last === first ? 0.001 : last - first));
}

function clamp01(value: number): number {
  return Math.min(Math.max(value, 0), 1);
}
