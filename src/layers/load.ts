/**
 * Moves weights from a model's files into merged matrices on the GPU, and back.
 *
 * @module
 */

import { ModelError } from "../errors.ts";
import { ELEMENT_BYTES, type Matrix, pitched, rowsOf, unpitched } from "../gpu/buffers.ts";
import type { Device } from "../gpu/device.ts";
import { submitOnce } from "../gpu/submit_once.ts";
import { findBeyondF16 } from "../io/finite.ts";
import { widen } from "../kernels/rows/widen.ts";
import { biasName, readBias } from "./bias.ts";
import type { LinearPart, LinearSpec } from "./linear_spec.ts";
import type { Linear } from "./method.ts";
import { mergedSource } from "./ordered_source.ts";
import { toStored } from "./row_order.ts";
import { type Raw16, rowsPerRead, type StoredCodes, type WeightSource } from "./weight_source.ts";
import { rotateValues } from "../numerics/hadamard.ts";
import { decodeRows } from "../numerics/scale_grid.ts";

/** Writes packed f32 rows into rows `first` and following of an f32 or f16 matrix. */
export function uploadRows(
  device: Device,
  target: Matrix,
  first: number,
  values: Float32Array<ArrayBuffer>,
): void {
  const { cols, pitch, type } = target;
  const rows = pitched(values, values.length / cols, cols, pitch);
  const data = type === "f16" ? Float16Array.from(rows) : rows;
  device.write(target, data, first * pitch * ELEMENT_BYTES[type]);
}

/** Name of the Hugging Face parameter of a linear layer. */
export function weightName(part: LinearPart): string {
  return `${part.module}.weight`;
}

/** Fills the rows of every part of a merged f32 or f16 weight. */
export async function loadMerged(
  device: Device,
  spec: LinearSpec,
  source: WeightSource,
  target: Matrix,
): Promise<void> {
  for (const part of spec.parts) await loadPart(device, part, source, target, part.start);
}

/** Fills rows of an f32 or f16 matrix, from `first` on, with a part as the merged weight has it. */
export async function loadPart(
  device: Device,
  part: LinearPart,
  source: WeightSource,
  target: Matrix,
  first = 0,
): Promise<void> {
  const { rows } = part;
  await loadMatrix(device, weightName(part), rows, mergedSource(part, source), target, first);
}

/**
 * Loads a matrix of the model into `rows` rows of `target`, starting at `first`; codes are decoded.
 */
export async function loadMatrix(
  device: Device,
  name: string,
  rows: number,
  source: WeightSource,
  target: Matrix,
  first = 0,
): Promise<void> {
  const from = { name, shape: [rows, target.cols] as const, firstRow: 0 };
  await loadMatrixRows(device, from, source, rowsOf(target, first, rows));
}

/** Rows of a matrix of the model. */
export interface MatrixRows {
  name: string;
  /** Of the whole matrix. */
  shape: readonly [rows: number, cols: number];
  firstRow: number;
}

/** Fills `target` with rows of a matrix of the model, as many as it has; codes are decoded. */
export async function loadMatrixRows(
  device: Device,
  { name, shape, firstRow }: MatrixRows,
  source: WeightSource,
  target: Matrix,
): Promise<void> {
  if (source.fill) {
    await submitOnce(device, (program) => source.fill!(program, name, target));
    return;
  }
  const { rows, cols } = target;
  const stored = await source.codes(name, shape);
  const step = rowsPerRead(cols);
  for (let row = 0; row < rows; row += step) {
    const count = Math.min(step, rows - row);
    // On an emulated GPU it is the CPU that would widen, so nothing is saved.
    const raw = device.isFallback ? null : await source.raw16?.(name, shape, firstRow + row, count);
    if (raw) {
      if (target.type === "f16" && raw.dtype === "BF16") {
        const outlier = findBeyondF16(raw.bytes);
        if (outlier) throw beyondF16(name, outlier.shown);
      }
      await uploadRaw16(device, rowsOf(target, row, count), raw);
      continue;
    }
    const values = stored
      ? decoded(stored, cols, firstRow + row, count)
      : await source.rows(name, shape, firstRow + row, count);
    if (target.type === "f16") {
      const outlier = values.find((value) => Math.abs(value) >= F16_ROUNDS_UP);
      if (outlier !== undefined) throw beyondF16(name, `${outlier}`);
    }
    uploadRows(device, target, row, values);
  }
}

/** From here on f16 rounds to infinity. */
const F16_ROUNDS_UP = 65520;

function beyondF16(name: string, shown: string): ModelError {
  return new ModelError(
    `Cannot use "${name}" in f16 as an element of it is ${shown}: f16 ends at 65504, so choose f32 for ` +
      "the weights, or a method that stores them in 8 bits",
  );
}

/**
 * Uploads 16-bit elements as they are and widens them on the GPU: half the bytes to upload, and no
 * conversion on the host.
 */
async function uploadRaw16(
  device: Device,
  target: Matrix,
  { dtype, bytes }: Raw16,
): Promise<void> {
  const raw = device.allocate(bytes.length, "weights to widen", "model");
  const whole = bytes.length & ~3; // writes are of whole words
  device.write(raw, bytes.subarray(0, whole));
  if (whole < bytes.length) {
    const last = new Uint8Array(4);
    last.set(bytes.subarray(whole));
    device.write(raw, last, whole);
  }
  await submitOnce(device, (program) => widen(program, { raw, dtype, out: target }));
  device.free(raw);
}

/** A whole matrix as numbers, codes decoded: packed f32 [rows, cols]. */
export async function readMatrixValues(
  source: WeightSource,
  name: string,
  shape: readonly [rows: number, cols: number],
): Promise<Float32Array<ArrayBuffer>> {
  const stored = await source.codes(name, shape);
  return stored
    ? decoded(stored, shape[1], 0, shape[0])
    : await source.rows(name, shape, 0, shape[0]);
}

/** Rows of stored codes as numbers, rotated back. */
function decoded(
  { format, codes, grid, rotation }: StoredCodes,
  cols: number,
  first: number,
  count: number,
): Float32Array<ArrayBuffer> {
  const values = decodeRows(format, codes, grid, cols, first, count);
  return rotation === 1 ? values : rotateValues(values, rotation);
}

/** Reads one part of a merged f32 or f16 weight as packed f32 [outFeatures, inFeatures]. */
export async function readPart(
  device: Device,
  part: LinearPart,
  merged: Matrix,
): Promise<Float32Array<ArrayBuffer>> {
  return toStored(part, await readDense(device, rowsOf(merged, part.start, part.rows)));
}

/**
 * Reads a tensor of linear layers by its Hugging Face name, as such a model would hold it: a weight
 * with its adapter merged in, or a bias. Null if they have none of that name.
 */
export async function readTensor(
  device: Device,
  linears: readonly Linear[],
  name: string,
): Promise<Float32Array<ArrayBuffer> | null> {
  for (const linear of linears) {
    for (const [index, part] of linear.spec.parts.entries()) {
      if (name === weightName(part)) return await linear.readWeight(index);
      if (part.bias && name === biasName(part)) return await readBias(device, linear, part);
    }
  }
  return null;
}

/** Reads an f32 or f16 matrix as packed f32 [rows, cols]. */
export async function readDense(
  device: Device,
  matrix: Matrix,
): Promise<Float32Array<ArrayBuffer>> {
  const raw = await device.read(matrix);
  const { rows, cols, pitch, type } = matrix;
  const values = type === "f16" ? Float32Array.from(new Float16Array(raw)) : new Float32Array(raw);
  return unpitched(values, rows, cols, pitch);
}
