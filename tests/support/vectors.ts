/** Helpers of the GPU tests for vectors and for outputs that hold garbage beforehand. */

import type { Matrix, Vector } from "../../src/gpu/buffers.ts";
import type { Device } from "../../src/gpu/device.ts";

/** Uploads an f32 vector; `exact` holds the same numbers in f64. */
export function uploadVector(
  device: Device,
  values: Float32Array<ArrayBuffer>,
): { vector: Vector; exact: Float64Array } {
  const vector = device.vector(values.length, "f32", "test vector");
  device.write(vector, values);
  return { vector, exact: Float64Array.from(values) };
}

/** The elements of an f32 vector. */
export async function readVector(device: Device, vector: Vector): Promise<Float32Array> {
  return new Float32Array(await device.read(vector)).subarray(0, vector.length);
}

/** An f32 matrix with every element, padding columns included, set to `value`: to be overwritten. */
export function filled(device: Device, rows: number, cols: number, value: number): Matrix {
  const matrix = device.matrix(rows, cols, "f32", "test output");
  device.write(matrix, new Float32Array(matrix.size / 4).fill(value));
  return matrix;
}
