/**
 * RMSNorm of queries or keys before they are rotated.
 *
 * @module
 */

import { rmsNorm, rmsNormBackward, type RmsNormGradients } from "./norm.ts";

/** How rows are normed. */
export interface QkNorm {
  /** `[row length]`: of a head, or of all heads of a token. */
  weight: Float64Array;
  /** 1 where rows are multiplied by 1 + weight. */
  weightOffset: 0 | 1;
  /** Added to the mean square. */
  eps: number;
}

/**
 * Norms queries or keys.
 *
 * @param x `[tokens, heads · headDim]`; a row is as long as the weight, so a head or all of a token.
 */
export function qkNorm(x: Float64Array, { weight, weightOffset, eps }: QkNorm): Float64Array {
  return rmsNorm(x, weight.map((w) => weightOffset + w), eps);
}

/** Backward of {@linkcode qkNorm}, of which `dy` is the gradient of the output, rotated back. */
export function qkNormBackward(
  dy: Float64Array,
  x: Float64Array,
  { weight, weightOffset, eps }: QkNorm,
): RmsNormGradients {
  return rmsNormBackward(dy, x, weight.map((w) => weightOffset + w), eps);
}
