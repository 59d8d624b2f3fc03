/**
 * The matrices of transforms that a model's files hold: tools take them from there, this project
 * computes them, so the two must agree.
 *
 * @module
 */

import { ModelError } from "../errors.ts";
import { isFloatDType, toFloat32 } from "../io/dtype.ts";
import type { Weights } from "../io/weights.ts";

/** Sylvester's Hadamard matrix of ±1, [size, size]. */
export function hadamardMatrix(size: number): Float32Array<ArrayBuffer> {
  const values = new Float32Array(size * size).fill(1);
  // Doubled: the lower right quarter is the only one that is negated.
  for (let half = 1; half < size; half *= 2) {
    for (let row = 0; row < size; row++) {
      if (!(row & half)) continue;
      for (let col = 0; col < size; col++) if (col & half) values[row * size + col] *= -1;
    }
  }
  return values;
}

/**
 * Expects a tensor to be Sylvester's Hadamard matrix of ±1, [size, size].
 *
 * @throws {ModelError} if it is another.
 */
export async function expectHadamard(weights: Weights, name: string, size: number): Promise<void> {
  const { dtype, shape } = weights.info(name);
  const isReadable = isFloatDType(dtype) || dtype === "F64";
  if (isReadable && shape.length === 2 && shape.every((length) => length === size)) {
    const bytes = await weights.read(name);
    const values = dtype === "F64"
      ? new Float64Array(bytes.slice().buffer)
      : toFloat32(bytes, dtype);
    const wanted = hadamardMatrix(size);
    if (values.every((value, i) => value === wanted[i])) return;
  }
  throw new ModelError(
    `Cannot use "${weights.folder}" as "${name}" is not the Hadamard matrix of ${size} rows by ` +
      "Sylvester's construction: of transforms only this one is supported, so choose a model " +
      "without",
  );
}
