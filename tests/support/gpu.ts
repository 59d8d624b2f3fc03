/** Helpers of the GPU tests: matrices in and out of a device, errors measured. */

import { FORMATS } from "../../src/numerics/formats.ts";
import { decodeCodes } from "../oracle/codes.ts";
import { tensorCoreError } from "../oracle/compare.ts";
import {
  type ElementType,
  type Matrix,
  pitched,
  pitchOf,
  type Vector,
} from "../../src/gpu/buffers.ts";
import type { Device } from "../../src/gpu/device.ts";
import type { Program } from "../../src/gpu/program.ts";
import { submitOnce } from "../../src/gpu/submit_once.ts";
import { F16_MATRIX, supportsMatrix } from "../../src/gpu/subgroup_matrix.ts";
import type { Quantized } from "../../src/kernels/rows/quantize.ts";

/** Uploads `values` [rows, cols] rounded to `type`; `exact` holds what the rounded elements are worth. */
export function uploadMatrix(
  device: Device,
  values: Float32Array,
  rows: number,
  cols: number,
  type: ElementType = "f32",
): { matrix: Matrix; exact: Float64Array } {
  const matrix = device.matrix(rows, cols, type, "test operand");
  const padded = pitched(Float32Array.from(values), rows, cols, pitchOf(cols));
  let exact = Float64Array.from(values);
  if (type === "f16") {
    const halves = Float16Array.from(padded);
    device.write(matrix, new Uint8Array(halves.buffer));
    exact = Float64Array.from(Float16Array.from(values));
    return { matrix, exact };
  }
  const format = type === "u32" || type === "i32" ? null : FORMATS[type];
  if (format?.codec) {
    device.write(matrix, format.codec.encode(padded));
    exact = Float64Array.from(decodeCodes(format, format.codec.encode(Float32Array.from(values))));
  } else {
    device.write(matrix, padded);
  }
  return { matrix, exact };
}

/** A matrix full of a value that must not survive, its padding columns zero by the invariant. */
export function poisoned(device: Device, rows: number, cols: number): Matrix {
  const values = new Float32Array(rows * cols).fill(12345.5);
  return uploadMatrix(device, values, rows, cols).matrix;
}

/** Room for codes and scales, full of bytes that must not survive. */
export function poisonedCodes(
  device: Device,
  rows: number,
  cols: number,
  type: ElementType,
): Quantized {
  const codes = device.matrix(rows, cols, type, "codes");
  const scales = device.vector(rows, "f32", "scales");
  device.write(codes, new Uint8Array(codes.size).fill(0x55));
  device.write(scales, new Float32Array(rows).fill(NaN));
  return { codes, scales };
}

/** Records GPU work, runs it once and waits for it, so that its errors come here. */
export async function runOnce(device: Device, record: (program: Program) => void): Promise<void> {
  await submitOnce(device, record);
  await device.finish();
}

/** The largest magnitude in the padding columns of an f32 matrix, NaN if there is one: 0 by invariant. */
export async function paddingOf(device: Device, matrix: Matrix): Promise<number> {
  const raw = new Float32Array(await device.read(matrix));
  let largest = 0;
  for (let r = 0; r < matrix.rows; r++) {
    for (let c = matrix.cols; c < matrix.pitch; c++) {
      largest = Math.max(largest, Math.abs(raw[r * matrix.pitch + c]));
    }
  }
  return largest;
}

/** Uploads a vector of f32, u32 or i32; `exact` holds the same numbers in f64. */
export function uploadVector(
  device: Device,
  values: Float32Array<ArrayBuffer> | Uint32Array<ArrayBuffer> | Int32Array<ArrayBuffer>,
): { vector: Vector; exact: Float64Array } {
  const type = values instanceof Float32Array
    ? "f32"
    : values instanceof Uint32Array
    ? "u32"
    : "i32";
  const vector = device.vector(values.length, type, "test vector");
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

/** What a tolerance has to leave to a device's tensor cores for a contraction of k; emulated ones add as f32 does. */
export function tensorSlack(device: Device, k: number): number {
  return supportsMatrix(device, F16_MATRIX) ? tensorCoreError(k) : 0;
}
