import { matmulNN, matmulNT, matmulTN } from "./matmul.ts";

/**
 * A linear layer without bias, `y = x·Wᵀ`.
 *
 * @param x `[rows, inputs]`.
 * @param weight W `[outputs, inputs]`.
 * @param rows Rows of x; the other sizes follow.
 * @returns y `[rows, outputs]`.
 */
export function linear(x: Float64Array, weight: Float64Array, rows: number): Float64Array {
  const inputs = x.length / rows;
  return matmulNT(x, weight, rows, weight.length / inputs, inputs);
}

/** The gradients that {@linkcode linearBackward} returns. */
export interface LinearGradients {
  /** dL/dx `[rows, inputs]`. */
  dx: Float64Array;
  /** dL/dW `[outputs, inputs]`. */
  dWeight: Float64Array;
}

/**
 * Backward of {@linkcode linear}: `dx = dy·W`, `dW = dyᵀ·x`.
 *
 * @param dy dL/dy `[rows, outputs]`.
 * @param x The forward's input.
 * @param weight W.
 * @param rows Rows of x and dy.
 * @returns dL/dx and dL/dW.
 */
export function linearBackward(
  dy: Float64Array,
  x: Float64Array,
  weight: Float64Array,
  rows: number,
): LinearGradients {
  const inputs = x.length / rows;
  const outputs = dy.length / rows;
  return {
    dx: matmulNN(dy, weight, rows, inputs, outputs),
    dWeight: matmulTN(dy, x, outputs, inputs, rows),
  };
}
