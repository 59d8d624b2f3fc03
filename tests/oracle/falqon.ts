/**
 * A FALQON layer in f64: one product of the quantised input with the merged weight gives the
 * output and the adapter's input; the backward multiplies by the same codes and needs neither
 * the input nor a gradient of A.
 *
 * @module
 */

import { E4M3, E5M2, fp8DecodeTable } from "../../src/numerics/fp8.ts";
import { joinColumns, splitColumns } from "./columns.ts";
import type { FalqonWeight } from "./falqon_weight.ts";
import { linear } from "./linear.ts";
import { matmulNN, matmulTN } from "./matmul.ts";
import type { Differentiable } from "./model.ts";
import { dequantize, quantize, type ScaleGranularity } from "./quantize.ts";
import { addScaled } from "./vector.ts";

/** A layer whose weight is trained in place. */
export interface FalqonLayer {
  /** `[W~; A~]`, changed by the update rules between steps. */
  readonly weight: FalqonWeight;
  /** c = alpha / rank; 1 for the rules `paper` and `accumulate`, which apply c nowhere. */
  readonly scaling: number;
  /** Whether x and G have one scale a token, or one a tensor. */
  readonly granularity: ScaleGranularity;
  /** B `[outputs, rank]`: the buffer or master that the optimizer updates. */
  readonly b: Float32Array;
  /** The part of B that the codes already hold. Where given, the rest acts beside them (`pending`). */
  readonly bFlushed?: Float32Array;
  /** dL/dB `[outputs, rank]`; every backward adds to it. */
  readonly dB: Float64Array;
}

/**
 * Runs a layer.
 *
 * Forward: `[O | O_A] = x~·[W~; A~]ᵀ / (s_x·s)`, and with pending rows `O += c·O_A·Dᵀ`,
 * D = B − B_flushed.
 *
 * Backward: `dB = c·Gᵀ·O_A` from the G that comes in. For `dx` the contraction runs over the
 * rows of the weight, so their scales are folded in before G is quantised:
 * `G' = [G | c·G·D] / s` (f32, column by column; the second block only with pending rows),
 * then `dx = G'~·[W~; A~] / s_G'` on raw code values.
 *
 * @param x `[rows, inputs]`; rounded to f32 first.
 * @param layer The layer; the backward adds to its dB.
 * @param rows Rows of x.
 * @returns The output `[rows, outputs]` and its backward.
 */
export function falqonLinear(x: Float64Array, layer: FalqonLayer, rows: number): Differentiable {
  const { weight, scaling, granularity, b, bFlushed, dB } = layer;
  const { outputs, inputs, rank } = weight;
  const xq = quantize(Float32Array.from(x), inputs, E4M3, granularity);
  const merged = linear(dequantize(xq), dequantize(weight), rows);
  const [y, hA] = splitColumns(merged, [outputs, rank]);
  const pending = bFlushed && Float64Array.from(b, (value, i) => Math.fround(value - bFlushed[i]));
  if (pending) addScaled(y, 0, scaling, linear(hA, pending, rows), 0, y.length);
  return {
    y,
    backward: (dy) => {
      addScaled(dB, 0, scaling, matmulTN(dy, hA, outputs, rank, rows), 0, dB.length);
      const blocks = pending
        ? [dy, matmulNN(dy, pending, rows, rank, outputs).map((value) => scaling * value)]
        : [dy];
      return codeProduct(joinColumns(blocks, rows), weight, granularity, rows);
    },
  };
}

/** `g / s`, quantised to e5m2, times the leading rows of the codes, as many as g has columns. */
function codeProduct(
  g: Float64Array,
  weight: FalqonWeight,
  granularity: ScaleGranularity,
  rows: number,
): Float64Array {
  const columns = g.length / rows;
  const folded = Float32Array.from(
    g,
    (value, i) => Math.fround(Math.fround(value) / weight.scales[i % columns]),
  );
  const codeValues = Float64Array.from(
    weight.codes.subarray(0, columns * weight.inputs),
    (code) => fp8DecodeTable(E4M3)[code],
  );
  const gq = dequantize(quantize(folded, columns, E5M2, granularity));
  return matmulNN(gq, codeValues, rows, weight.inputs, columns);
}
