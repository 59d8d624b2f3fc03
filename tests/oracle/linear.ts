import { matmulNN, matmulNT, matmulTN } from "./matmul.ts";

/**
 * A linear layer, `y = x·Wᵀ + bias`.
 *
 * @param x `[rows, inputs]`.
 * @param weight W `[outputs, inputs]`.
 * @param rows Rows of x; the other sizes follow.
 * @param bias `[outputs]`; none by default.
 * @returns y `[rows, outputs]`.
 */
export function linear(
  x: Float64Array,
  weight: Float64Array,
  rows: number,
  bias?: Float64Array,
): Float64Array {
  const inputs = x.length / rows;
  const y = matmulNT(x, weight, rows, weight.length / inputs, inputs);
  return bias ? y.map((value, i) => value + bias[i % bias.length]) : y;
}

/**
 * Sums over the rows of a matrix: the gradient of a bias, whose every output row it is added to.
 *
 * @param matrix `[rows, cols]`.
 * @returns `[cols]`.
 */
export function columnSums(matrix: Float64Array, rows: number): Float64Array {
  const sums = new Float64Array(matrix.length / rows);
  matrix.forEach((value, i) => sums[i % sums.length] += value);
  return sums;
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
