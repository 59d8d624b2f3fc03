/** DoRA, and dropout of the input of adapters, in f64: twins of what LoRA adds to these. */

import { mix32 } from "../../src/numerics/random.ts";
import { linear } from "./linear.ts";
import { matmulNN, matmulTN } from "./matmul.ts";

/** The trained values of a DoRA layer. */
export interface DoraAdapter {
  /** A `[rank, inputs]`. */
  a: Float64Array;
  /** B `[outputs, rank]`. */
  b: Float64Array;
  /** m `[outputs]`. */
  magnitude: Float64Array;
  /** c. */
  scaling: number;
}

/** The norms of the rows of a matrix of `cols` columns. */
export function rowNorms(matrix: Float64Array, cols: number): Float64Array {
  return Float64Array.from(
    { length: matrix.length / cols },
    (_, row) => Math.hypot(...matrix.subarray(row * cols, (row + 1) * cols)),
  );
}

/** W + c·B·A. */
export function changedWeight(
  weight: Float64Array,
  { a, b, scaling }: DoraAdapter,
  inputs: number,
): Float64Array {
  const rank = a.length / inputs;
  const product = matmulNN(b, a, weight.length / inputs, inputs, rank);
  return weight.map((w, i) => w + scaling * product[i]);
}

/**
 * `y = m / n ⊙ (x·Wᵀ + c·(d·Aᵀ)·Bᵀ)` for d, what dropout left of x; the norms n are constants.
 *
 * @param mask What d is x times, element by element.
 * @param norms n `[outputs]`: those of the changed weight where nothing else is said.
 */
export function doraLinear(
  x: Float64Array,
  weight: Float64Array,
  adapter: DoraAdapter,
  rows: number,
  mask: Float64Array = new Float64Array(x.length).fill(1),
  norms: Float64Array = rowNorms(changedWeight(weight, adapter, x.length / rows), x.length / rows),
) {
  const { a, b, magnitude, scaling } = adapter;
  const inputs = x.length / rows;
  const outputs = magnitude.length;
  const rank = a.length / inputs;
  const d = x.map((value, i) => value * mask[i]);
  const low = linear(d, a, rows);
  const added = linear(low, b, rows);
  const u = linear(x, weight, rows).map((value, i) => value + scaling * added[i]);
  const factor = (i: number) => magnitude[i % outputs] / norms[i % outputs];
  return {
    y: u.map((value, i) => factor(i) * value),
    backward(dy: Float64Array) {
      const du = dy.map((value, i) => factor(i) * value);
      const dMagnitude = new Float64Array(outputs);
      dy.forEach((value, i) => dMagnitude[i % outputs] += value * u[i] / norms[i % outputs]);
      const dLow = matmulNN(du, b, rows, rank, outputs).map((value) => scaling * value);
      const through = matmulNN(dLow, a, rows, inputs, rank);
      return {
        dA: matmulTN(dLow, d, rank, inputs, rows),
        dB: matmulTN(du, low, outputs, rank, rows).map((value) => scaling * value),
        dMagnitude,
        dx: matmulNN(du, weight, rows, inputs, outputs).map((v, i) => v + mask[i] * through[i]),
      };
    },
  };
}

/** The mask of a layer in a micro-batch: 0, or 1 / (1 − rate); twin of wgsl/rows/dropout.wgsl. */
export function dropoutMask(
  { micro, low, high, tensor, rate }: {
    micro: number;
    low: number;
    high: number;
    tensor: number;
    rate: number;
  },
  count: number,
): Float64Array {
  const first = mix32(mix32(micro + low) + high + Math.imul(tensor, 0x9e3779b9));
  const second = mix32(first ^ low);
  const threshold = Math.floor(rate * 2 ** 32);
  return Float64Array.from(
    { length: count },
    (_, i) => mix32(mix32(i + first) + second) >= threshold ? 1 / (1 - rate) : 0,
  );
}
