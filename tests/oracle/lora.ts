import { linear } from "./linear.ts";
import { matmulNN, matmulTN } from "./matmul.ts";
import type { Differentiable } from "./model.ts";
import { add, addScaled } from "./vector.ts";

/** The trainable pair of a LoRA layer and their gradients. */
export interface LoraAdapter {
  /** A `[rank, inputs]`. */
  a: Float64Array;
  /** B `[outputs, rank]`. */
  b: Float64Array;
  /** dL/dA; every backward adds to it. */
  dA: Float64Array;
  /** dL/dB; every backward adds to it. */
  dB: Float64Array;
  /** c = alpha / rank. */
  scaling: number;
}

/**
 * Makes an adapter with zero gradients.
 *
 * @param a A `[rank, inputs]`, not copied.
 * @param b B `[outputs, rank]`, not copied.
 * @param scaling c = alpha / rank.
 * @returns The adapter.
 */
export function loraAdapter(a: Float64Array, b: Float64Array, scaling: number): LoraAdapter {
  return { a, b, dA: new Float64Array(a.length), dB: new Float64Array(b.length), scaling };
}

/**
 * A linear layer with a frozen weight and a LoRA adapter, `y = x·Wᵀ + c·(x·Aᵀ)·Bᵀ`.
 *
 * @param x `[rows, inputs]`.
 * @param weight W `[outputs, inputs]`, frozen.
 * @param adapter A and B; the backward adds to its gradients.
 * @param rows Rows of x.
 * @returns The output and its backward.
 */
export function loraLinear(
  x: Float64Array,
  weight: Float64Array,
  adapter: LoraAdapter,
  rows: number,
): Differentiable {
  const { a, b, dA, dB, scaling } = adapter;
  const inputs = x.length / rows;
  const outputs = weight.length / inputs;
  const rank = a.length / inputs;
  const h = linear(x, a, rows);
  const y = linear(x, weight, rows);
  addScaled(y, 0, scaling, linear(h, b, rows), 0, y.length);
  return {
    y,
    backward: (dy) => {
      const dh = matmulNN(dy, b, rows, rank, outputs).map((d) => scaling * d);
      addScaled(dB, 0, scaling, matmulTN(dy, h, outputs, rank, rows), 0, dB.length);
      addScaled(dA, 0, 1, matmulTN(dh, x, rank, inputs, rows), 0, dA.length);
      return add(
        matmulNN(dy, weight, rows, inputs, outputs),
        matmulNN(dh, a, rows, inputs, rank),
      );
    },
  };
}
