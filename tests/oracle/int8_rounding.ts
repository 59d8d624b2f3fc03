/**
 * Rounding to int8 with scales, as values: what the codes of a matrix stand for.
 *
 * @module
 */

import { encodeInt8Array, INT8_MAX, int8DecodeTable } from "../../src/numerics/int8.ts";
import {
  encodingScale,
  largestMagnitude,
  type ScaleGranularity,
  SMALLEST_AMAX,
} from "./quantize.ts";

/**
 * The scales that rows are multiplied by before they are encoded.
 *
 * @param x `[rows, columns]` of f32 values.
 * @param columns Row width.
 * @param granularity One scale a row, or one in all.
 * @returns One a row.
 */
export function int8Scales(
  x: Float32Array,
  columns: number,
  granularity: ScaleGranularity = "row",
): Float32Array<ArrayBuffer> {
  const scaleOf = (block: Float32Array) => {
    const amax = largestMagnitude(block);
    return Number.isFinite(amax) ? INT8_MAX / Math.max(amax, SMALLEST_AMAX) : NaN;
  };
  const scales = new Float32Array(x.length / columns);
  if (granularity === "tensor") return scales.fill(scaleOf(x));
  return scales.map((_, i) => scaleOf(x.subarray(i * columns, (i + 1) * columns)));
}

/**
 * Rounds a matrix to int8.
 *
 * @param x `[rows, columns]` of f32 values.
 * @param columns Row width.
 * @param granularity One scale a row, or one in all.
 * @returns The values of the codes, in f64.
 */
export function roundedToInt8(
  x: Float32Array,
  columns: number,
  granularity: ScaleGranularity = "row",
): Float64Array<ArrayBuffer> {
  const scales = int8Scales(x, columns, granularity);
  const scaleOf = (i: number) => scales[Math.floor(i / columns)];
  const codes = encodeInt8Array(x.map((value, i) => value * encodingScale(scaleOf(i))));
  return Float64Array.from(codes, (code, i) => int8DecodeTable()[code] / scaleOf(i));
}
