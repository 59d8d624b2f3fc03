/**
 * Dynamic quantisation to FP8 as the GPU does it: in f32, each operation rounded once.
 *
 * A scale multiplies on the way in and divides on the way out:
 * `code = encode(x · scale)`, `x ≈ decode(code) / scale`.
 *
 * @module
 */

import { encodeFp8, fp8DecodeTable, type Fp8Format } from "../fp8/codec.ts";

/**
 * Rows or tensors whose largest magnitude is below this count as all zero. Their scale would
 * come near the end of f32's range, or beyond it and turn zeros into NaN.
 */
export const SMALLEST_AMAX = 2 ** -100;

/**
 * The scale that maps `amax` to the format's maximum: `format.max / amax` rounded to f32;
 * 1 for an `amax` below {@linkcode SMALLEST_AMAX}. Infinity gives scale 0, and so NaN codes
 * for the infinite elements: an overflow stays visible.
 *
 * WGSL's division may be wrong by 2.5 ulp. A kernel can be bit equal nevertheless by dividing
 * the 24-bit significands as integers; both formats' maxima have the significand 1.75.
 *
 * @param amax Largest magnitude, an f32.
 * @param format The target format.
 * @returns The scale, an f32.
 */
export function quantizationScale(amax: number, format: Fp8Format): number {
  return amax < SMALLEST_AMAX ? 1 : Math.fround(format.max / amax);
}

/** A matrix in FP8. */
export interface Quantized {
  /** One code an element, row-major. */
  codes: Uint8Array<ArrayBuffer>;
  /** One f32 scale a row, or a single one for the whole matrix. */
  scales: Float32Array<ArrayBuffer>;
  /** The format of the codes. */
  format: Fp8Format;
}

/** Which elements share a scale: those of a row (a token of x, an output of W), or all. */
export type ScaleGranularity = "row" | "tensor";

/**
 * Quantises a matrix with dynamic scales.
 *
 * @param x `[rows, columns]` of f32 values; NaN does not count towards the largest magnitude.
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
  const span = granularity === "row" ? columns : x.length;
  const codes = new Uint8Array(x.length);
  const scales = new Float32Array(x.length / span);
  for (let i = 0; i < scales.length; i++) {
    const block = x.subarray(i * span, (i + 1) * span);
    const amax = block.reduce((max, value) => Math.abs(value) > max ? Math.abs(value) : max, 0);
    scales[i] = quantizationScale(amax, format);
    block.forEach((value, j) =>
      codes[i * span + j] = encodeFp8(Math.fround(value * scales[i]), format)
    );
  }
  return { codes, scales, format };
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
  const span = codes.length / scales.length;
  return Float64Array.from(codes, (code, i) => table[code] / scales[Math.floor(i / span)]);
}
