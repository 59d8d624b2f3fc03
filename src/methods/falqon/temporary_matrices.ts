/**
 * Linear algebra on temporary matrices on the GPU, for initialising adapters: products run at once, eigenvectors of
 * small Gram matrices are found on the host.
 *
 * @module
 */

import type { Matrix } from "../../gpu/buffers.ts";
import type { Device } from "../../gpu/device.ts";
import { submitOnce } from "../../gpu/submit_once.ts";
import { gemm, type GemmOptions } from "../../kernels/gemm/gemm.ts";
import { symmetricEigen } from "../../numerics/symmetric_eigen.ts";

/**
 * Share of the largest eigenvalue of a Gram matrix below which a direction counts as absent (f32
 * products).
 */
export const NEGLIGIBLE = 1e-6;
/**
 * An orthonormal basis of the rows' space, absent directions as zero rows; null if all are absent.
 */
export async function orthonormal(scope: Scope, rows: Matrix): Promise<Matrix | null> {
  const count = rows.rows;
  const { values, vectors } = symmetricEigen(await gram(scope, rows), count);
  if (!(values[0] > 0)) return null;
  const combination = Float32Array.from(vectors, (x, at) => {
    const value = values[Math.floor(at / count)];
    return value > NEGLIGIBLE * values[0] ? x / Math.sqrt(value) : 0;
  });
  return combine(scope, combination, count, rows);
}

/** rows·rowsᵀ on the host. */
export async function gram(scope: Scope, rows: Matrix): Promise<Float64Array> {
  const out = scope.matrix(rows.rows, rows.rows);
  await scope.multiply({ layout: "nt", a: rows, b: rows, out });
  const values = Float64Array.from(await scope.device.readMatrix(out));
  scope.free(out);
  return values;
}

/** combination [count, rows] · rows. */
export async function combine(
  scope: Scope,
  combination: Float32Array<ArrayBuffer>,
  count: number,
  rows: Matrix,
): Promise<Matrix> {
  const a = scope.matrix(count, rows.rows);
  scope.device.writeMatrix(a, combination);
  const out = scope.matrix(count, rows.cols);
  await scope.multiply({ layout: "nn", a, b: rows, out });
  scope.free(a);
  return out;
}

/** Owns temporary matrices, freed together, and runs single products. */
export class Scope {
  #matrices = new Set<Matrix>();

  constructor(readonly device: Device) {}

  matrix(rows: number, cols: number): Matrix {
    const matrix = this.device.matrix(rows, cols, "f32", "randomised SVD", "model");
    this.#matrices.add(matrix);
    return matrix;
  }

  async multiply(options: GemmOptions): Promise<void> {
    await submitOnce(this.device, (program) => gemm(program, options));
  }

  free(...matrices: Matrix[]): void {
    this.device.free(...matrices);
    for (const matrix of matrices) this.#matrices.delete(matrix);
  }

  /** Leaves a matrix to the caller. */
  keep(matrix: Matrix): Matrix {
    this.#matrices.delete(matrix);
    return matrix;
  }

  close(): void {
    this.free(...this.#matrices);
  }
}
