/**
 * The merged FP8 weight `[W~; A~]` of FALQON and the choice of its adapter A.
 *
 * @module
 */

import { OptionError } from "../../src/errors.ts";
import { E4M3 } from "../../src/numerics/fp8.ts";
import {
  dequantize,
  largestMagnitude,
  quantize,
  type Quantized,
  quantizeWith,
  type ScaleGranularity,
} from "./quantize.ts";
import { orthonormalizeRows } from "../../src/numerics/linear_algebra.ts";
import { truncatedSvd } from "./svd.ts";

/** The rows of the weight, then those of the adapter, as e4m3 codes `[outputs + rank, inputs]`. */
export interface FalqonWeight extends Quantized {
  /** Rows of W~. */
  readonly outputs: number;
  /** Columns of W~ and A~. */
  readonly inputs: number;
  /** Rows of A~. */
  readonly rank: number;
}

/**
 * Quantises a weight and its adapter into one matrix. With granularity `row` every row has its
 * own scale. With `tensor`, as published, all share the scale that W's largest magnitude gives;
 * A is then first multiplied by a power of two where that scale would not represent it (see
 * {@linkcode representable}).
 *
 * @param w W `[outputs, inputs]`.
 * @param a A `[rank, inputs]`.
 * @param inputs Row width.
 * @param granularity One scale a row, or one in all.
 * @returns The merged weight.
 */
export function mergeWeight(
  w: Float32Array,
  a: Float32Array,
  inputs: number,
  granularity: ScaleGranularity,
): FalqonWeight {
  const rank = a.length / inputs;
  const outputs = w.length / inputs;
  const weight = quantize(w, inputs, E4M3, granularity);
  const adapter = granularity === "row" ? quantize(a, inputs, E4M3, "row") : quantizeWith(
    representable(a, weight.scales[0]),
    new Float32Array(rank).fill(weight.scales[0]),
    E4M3,
  );
  const codes = new Uint8Array((outputs + rank) * inputs);
  codes.set(weight.codes);
  codes.set(adapter.codes, weight.codes.length);
  const scales = new Float32Array(outputs + rank);
  scales.set(weight.scales);
  scales.set(adapter.scales, outputs);
  return { codes, scales, format: E4M3, outputs, inputs, rank };
}

/** Root mean square of A~'s code values below which too much of A would be subnormal or zero. */
const SMALLEST_CODE_RMS = 2 ** -3;

/**
 * Multiplies A by the power of two nearest to 1 that makes it representable in e4m3 at a given
 * scale: nothing beyond the maximum, and the root mean square at eight times the smallest normal
 * value or more. Not overflowing comes first if both cannot be had. A learning rate means the
 * same wherever the factor is 1, which is nearly always.
 *
 * @param a A.
 * @param scale The scale it will be quantised with.
 * @returns A copy, possibly scaled.
 */
export function representable(a: Float32Array, scale: number): Float32Array {
  const largest = largestMagnitude(a) * scale;
  if (largest === 0) return a.slice();
  const rms = Math.sqrt(a.reduce((sum, x) => sum + x * x, 0) / a.length) * scale;
  const highest = Math.floor(Math.log2(E4M3.max / largest));
  const lowest = Math.ceil(Math.log2(SMALLEST_CODE_RMS / rms));
  const factor = 2 ** Math.min(Math.max(lowest, 0), highest);
  return a.map((x) => x * factor);
}

/**
 * How A begins:
 * - `melded`: the r leading right singular vectors of the quantisation error, times the roots of
 *   their singular values, as published;
 * - `random-orthogonal`: random orthogonal rows of norm 1/√3;
 * - `kaiming`: uniform in ±1/√inputs, as PEFT does; the rows have norm 1/√3 on average, so that
 *   one learning rate suits both.
 */
export type AdapterInit = "melded" | "random-orthogonal" | "kaiming";

/**
 * Makes the adapter A of a weight.
 *
 * @param init How A begins.
 * @param w W `[outputs, inputs]`.
 * @param inputs Row width.
 * @param rank Rows of A.
 * @param granularity How W will be quantised, which decides its error.
 * @param random Uniform numbers in [0, 1).
 * @returns A `[rank, inputs]`.
 * @throws {OptionError} if the rank exceeds a side of W.
 */
export function initialAdapter(
  init: AdapterInit,
  w: Float32Array,
  inputs: number,
  rank: number,
  granularity: ScaleGranularity,
  random: () => number,
): Float32Array {
  const outputs = w.length / inputs;
  if (rank > Math.min(outputs, inputs)) {
    throw new OptionError(
      `Cannot adapt a weight of ${outputs}×${inputs} with rank ${rank}: it has only ` +
        `${Math.min(outputs, inputs)} directions; choose a rank up to that`,
    );
  }
  if (init === "melded") return meldedAdapter(w, inputs, rank, granularity, random);
  const uniform = Float64Array.from(
    { length: rank * inputs },
    () => (2 * random() - 1) / Math.sqrt(inputs),
  );
  if (init === "kaiming") return Float32Array.from(uniform);
  orthonormalizeRows(uniform, rank);
  return Float32Array.from(uniform, (x) => x / Math.sqrt(3));
}

/** √S·Vᵀ of the rank-r part of DQ(W~) − W, the adapter that the quantised weight already holds. */
function meldedAdapter(
  w: Float32Array,
  inputs: number,
  rank: number,
  granularity: ScaleGranularity,
  random: () => number,
): Float32Array {
  const error = dequantize(quantize(w, inputs, E4M3, granularity)).map((x, i) => x - w[i]);
  const { s, v } = truncatedSvd(error, w.length / inputs, inputs, rank, random);
  return Float32Array.from(v, (x, i) => x * Math.sqrt(s[Math.floor(i / inputs)]));
}
