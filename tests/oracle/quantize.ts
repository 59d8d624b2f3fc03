/**
 * Dynamic quantisation to FP8, and to f16, as the GPU does it: in f32, each operation rounded once.
 *
 * A scale multiplies on the way in and divides on the way out:
 * `code = encode(x · scale)`, `x ≈ decode(code) / scale`.
 *
 * @module
 */

import { E4M3, encodeFp8, fp8DecodeTable, type Fp8Format } from "../../src/numerics/fp8.ts";

/**
 * The smallest magnitude that a scale is made for: for less it would come near the end of f32's range, or beyond it and
 * turn zeros into NaN. Rows that vanish have its scale, so that the smallest scale of a gradient tells its largest row;
 * or 1 in e4m3, where a weight's row of zeros must be able to take updates of ordinary size.
 */
export const SMALLEST_AMAX: number = 2 ** -100;

/**
 * The scale that maps `amax` to the format's maximum: `format.max / amax` rounded to f32;
 * that of {@linkcode SMALLEST_AMAX}, or 1 in e4m3, for an `amax` below. NaN and infinity give NaN, by which all that
 * the row is multiplied with is NaN: codes would make numbers of it.
 *
 * WGSL's division may be wrong by 2.5 ulp. A kernel can be bit equal nevertheless by dividing
 * the 24-bit significands as integers; both formats' maxima have the significand 1.75.
 *
 * @param amax Largest magnitude, an f32.
 * @param format The target format.
 * @returns The scale, an f32.
 */
export function quantizationScale(amax: number, format: Fp8Format): number {
  if (!Number.isFinite(amax)) return NaN;
  if (amax < SMALLEST_AMAX && format === E4M3) return 1;
  return Math.fround(format.max / Math.max(amax, SMALLEST_AMAX));
}

/** A matrix in FP8. */
export interface Quantized {
  /** One code an element, row-major. */
  readonly codes: Uint8Array<ArrayBuffer>;
  /** One f32 scale a row; all equal where the whole matrix shares one. */
  readonly scales: Float32Array<ArrayBuffer>;
  /** The format of the codes. */
  readonly format: Fp8Format;
}

/** Which elements share a scale: those of a row (a token of x, an output of W), or all. */
export type ScaleGranularity = "row" | "tensor";

/**
 * Quantises a matrix with dynamic scales.
 *
 * @param x `[rows, columns]` of f32 values.
 * @param columns Row width.
 * @param format The target format.
 * @param granularity One scale a row, or one in all.
 * @returns Codes and scales.
 */
export function quantize(
  x: Float32Array,
  columns: number,
  format: Fp8Format,
  granularity: ScaleGranularity,
): Quantized {
  const scaleOf = (block: Float32Array) => quantizationScale(largestMagnitude(block), format);
  const scales = new Float32Array(x.length / columns);
  if (granularity === "tensor") scales.fill(scaleOf(x));
  else scales.forEach((_, i) => scales[i] = scaleOf(x.subarray(i * columns, (i + 1) * columns)));
  return quantizeWith(x, scales, format);
}

/**
 * Quantises a matrix with given scales.
 *
 * @param x `[rows, columns]` of f32 values.
 * @param scales One a row.
 * @param format The target format.
 * @returns The codes, with these scales.
 */
export function quantizeWith(
  x: Float32Array,
  scales: Float32Array<ArrayBuffer>,
  format: Fp8Format,
): Quantized {
  const columns = x.length / scales.length;
  const codes = Uint8Array.from(
    x,
    (value, i) =>
      encodeFp8(Math.fround(value * encodingScale(scales[Math.floor(i / columns)])), format),
  );
  return { codes, scales, format };
}

/** What a row is multiplied by to be encoded: nothing is left of one whose scale is NaN. */
export function encodingScale(scale: number): number {
  return Number.isNaN(scale) ? 0 : scale;
}

/**
 * Decodes a quantised matrix in f64: `decode(code) / scale`, the exact value the codes stand for
 * up to one f64 rounding.
 *
 * @param quantized Codes and scales.
 * @returns One value a code.
 */
export function dequantize({ codes, scales, format }: Quantized): Float64Array {
  const table = fp8DecodeTable(format);
  const columns = codes.length / scales.length;
  return Float64Array.from(codes, (code, i) => table[code] / scales[Math.floor(i / columns)]);
}

/**
 * The scale of a row in f16: the power of two that brings its largest magnitude into [2³, 2⁴), so that rounding alone
 * decides the codes and sums of 64 products stay within f16; that of {@linkcode SMALLEST_AMAX} for an `amax`
 * below.
 *
 * @param amax Largest magnitude, an f32.
 */
export function halfScale(amax: number): number {
  if (!Number.isFinite(amax)) return NaN;
  const [bits] = new Uint32Array(Float32Array.of(Math.max(amax, SMALLEST_AMAX)).buffer);
  return 2 ** (127 + 3 - (bits >>> 23));
}

/** A matrix in f16 with a scale a row. */
export interface QuantizedHalf {
  /** Row-major. */
  readonly codes: Float16Array<ArrayBuffer>;
  /** One f32 a row. */
  readonly scales: Float32Array<ArrayBuffer>;
}

/**
 * Quantises a matrix to f16. Values beyond ±65504 saturate; what is not finite becomes NaN.
 *
 * @param x `[rows, columns]` of f32 values.
 * @param columns Row width.
 * @param scales One a row. Default: {@linkcode halfScale} of each.
 */
export function quantizeHalf(
  x: Float32Array,
  columns: number,
  scales?: Float32Array<ArrayBuffer>,
): QuantizedHalf {
  const used = scales ?? Float32Array.from(
    { length: x.length / columns },
    (_, r) => halfScale(largestMagnitude(x.subarray(r * columns, (r + 1) * columns))),
  );
  const codes = Float16Array.from(x, (value, i) => {
    const scaled = Math.fround(value * encodingScale(used[Math.floor(i / columns)]));
    return Number.isFinite(scaled) ? Math.max(-65504, Math.min(65504, scaled)) : NaN;
  });
  return { codes, scales: used };
}

/** The largest magnitude of a matrix or row, NaN if there is one in it; 0 of an empty one. */
export function largestMagnitude(x: Float32Array): number {
  return x.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
}
