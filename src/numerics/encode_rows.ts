/**
 * Quantises a matrix on the host, to be stored: codes with one scale per row, or one for all.
 *
 * Rounding to nearest is the closest, and right for values that stand anywhere between the codes. But
 * a matrix may stand close to the codes already: one that was quantised before, and trained by less
 * than a step since. To nearest, all of that training would vanish. So its elements are rounded
 * stochastically, which keeps it on average, at little noise, as they are close to codes. Which of the
 * two a matrix is, its values tell. docs/EXPERIMENTS.md has the losses of both.
 *
 * @module
 */

import { codecOf, type NumberFormat, type ScaleGranularity } from "./formats.ts";
import { encodeStochastically, meanSquareOffset } from "./stochastic.ts";

/** A matrix as codes. */
export interface EncodedRows {
  /** [rows, cols] */
  codes: Uint8Array<ArrayBuffer>;
  /** f32 [rows], or [1] where all share it: the value of a code is `decode(code) · scale`. */
  scales: Float32Array<ArrayBuffer>;
  /** Whether the values stood close to the codes, so that they were rounded stochastically. */
  stochastic: boolean;
}

/**
 * Below this mean square distance to the nearest code, in steps, values count as close to the codes.
 * Values at random have 1/12 = 0.083. Codes moved by a normal error of 0.42 steps have 0.08, and
 * rounding to nearest would keep 93 % of that error; of 0.3 steps (0.066) it would keep two thirds.
 */
const CLOSE = 0.08;

/** The scales that {@linkcode encodeRows} gives to the rows of a matrix, f32 [rows]. */
export function encodingScales(
  values: Float32Array<ArrayBuffer>,
  cols: number,
  format: NumberFormat,
  granularity: ScaleGranularity,
): Float32Array<ArrayBuffer> {
  const rows = values.length / cols;
  const largest = new Float32Array(rows);
  for (let row = 0, i = 0; row < rows; row++) {
    for (const end = i + cols; i < end; i++) {
      largest[row] = Math.max(largest[row], Math.abs(values[i]));
    }
  }
  if (granularity === "tensor") largest.fill(largest.reduce((a, b) => Math.max(a, b), 0));
  // Zeros take any scale.
  return largest.map((magnitude) => magnitude === 0 ? 1 : magnitude / format.max);
}

/**
 * Quantises a matrix.
 *
 * @param values [rows, cols]
 * @param format Of one byte per value, scaled to its maximum.
 * @param stream The random bits to round with, see `tensorStream`.
 */
export function encodeRows(
  values: Float32Array<ArrayBuffer>,
  cols: number,
  format: NumberFormat,
  { granularity, stream }: { granularity: ScaleGranularity; stream: number },
): EncodedRows {
  const rows = values.length / cols;
  const scales = encodingScales(values, cols, format, granularity);
  const scaled = new Float32Array(values.length);
  for (let row = 0, i = 0; row < rows; row++) {
    for (const end = i + cols; i < end; i++) scaled[i] = values[i] / scales[row];
  }
  const nearest = codecOf(format).encode(scaled);
  const stochastic = meanSquareOffset(scaled, format, nearest) < CLOSE;
  const codes = stochastic ? encodeStochastically(scaled, format, stream, nearest) : nearest;
  return { codes, scales: granularity === "row" ? scales : scales.slice(0, 1), stochastic };
}
