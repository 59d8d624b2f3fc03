/**
 * Initialises FALQON's adapter A on the GPU: the products of the randomised SVD are GEMMs, and only
 * matrices of rank × rank are read back to the host. Its CPU twin is tests/oracle/falqon_weight.ts.
 *
 * @module
 */

import { OptionError } from "../../errors.ts";
import { columnsOf, type Matrix, unpitched } from "../../gpu/buffers.ts";
import type { Device } from "../../gpu/device.ts";
import { Program } from "../../gpu/program.ts";
import { submitOnce } from "../../gpu/submit_once.ts";
import { gemm } from "../../kernels/gemm/gemm.ts";
import { lowRankGradient, lowRankTile } from "../../kernels/gemm/low_rank_gradient.ts";
import { GEMM_VARIANTS, type GemmVariant } from "../../kernels/gemm/variants.ts";
import { randomNormal } from "../../kernels/rows/random.ts";
import { drawKey } from "../../numerics/random_key.ts";
import { type FormatName, FORMATS, type NumberFormat } from "../../numerics/formats.ts";
import { orthonormalizeRows } from "../../numerics/linear_algebra.ts";
import { symmetricEigen } from "../../numerics/symmetric_eigen.ts";
import { combine, gram, NEGLIGIBLE, orthonormal, Scope } from "./temporary_matrices.ts";

/** How the adapter A starts: see `FalqonOptions.init`. */
export type AdapterInit = "gradient" | "melded" | "random-orthogonal" | "kaiming";

/** Every {@linkcode AdapterInit}. */
export const ADAPTER_INITS: readonly AdapterInit[] = [
  "gradient",
  "melded",
  "random-orthogonal",
  "kaiming",
];

/** Directions beyond the rank that the range finder keeps, and its passes over the matrix. */
const OVERSAMPLING = 16;
const POWER_ITERATIONS = 3;
/**
 * The mean norm of the rows of a Kaiming A, so that one learning rate suits all initialisations.
 */
const ROW_NORM = 1 / Math.sqrt(3);

/**
 * √S·Vᵀ of the rank-r part of a quantisation error: the adapter that the quantised weight already
 * holds.
 *
 * @param error f32 [outputs, inputs]: DQ(W~) − W
 * @returns A [rank, inputs]; null if the error is zero.
 * @throws {OptionError} if the rank exceeds a side of the weight.
 */
export async function meldedAdapter(
  device: Device,
  error: Matrix,
  rank: number,
  random: () => number,
): Promise<Float32Array<ArrayBuffer> | null> {
  checkRankFits(rank, error.rows, error.cols);
  const width = sketchRows(rank, error.rows, error.cols);
  const scope = new Scope(device);
  try {
    let right = scope.matrix(width, error.cols);
    device.writeMatrix(right, normals(width * error.cols, random));
    for (let i = 0; i <= POWER_ITERATIONS; i++) {
      const left = scope.matrix(width, error.rows);
      await scope.multiply({ layout: "nt", a: right, b: error, out: left });
      const basis = await orthonormal(scope, left);
      if (!basis) return null;
      scope.free(right);
      right = scope.matrix(width, error.cols);
      await scope.multiply({ layout: "nn", a: basis, b: error, out: right });
      scope.free(left, basis);
      if (i < POWER_ITERATIONS) {
        const next = await orthonormal(scope, right);
        if (!next) return null;
        scope.free(right);
        right = next;
      }
    }
    // error ≈ basisᵀ·right, so the right singular vectors are those of `right`.
    const { values, vectors } = symmetricEigen(await gram(scope, right), width);
    const combination = new Float32Array(rank * width);
    for (let i = 0; i < rank; i++) {
      // singular value s = √value; a row of V is vectorᵀ·right / s, and A is that times √s.
      const factor = values[i] > NEGLIGIBLE * values[0] ? values[i] ** -0.25 : 0;
      for (let j = 0; j < width; j++) combination[i * width + j] = factor * vectors[i * width + j];
    }
    return await device.readMatrix(await combine(scope, combination, rank, right));
  } finally {
    scope.close();
  }
}

/**
 * An adapter that does not depend on the weight.
 *
 * @returns A [rank, inputs]
 * @throws {OptionError} if the rank exceeds a side of the weight.
 */
export function randomAdapter(
  init: "random-orthogonal" | "kaiming",
  outputs: number,
  inputs: number,
  rank: number,
  random: () => number,
): Float32Array<ArrayBuffer> {
  checkRankFits(rank, outputs, inputs);
  const bound = 1 / Math.sqrt(inputs);
  const rows = Float64Array.from({ length: rank * inputs }, () => (2 * random() - 1) * bound);
  if (init === "kaiming") return Float32Array.from(rows);
  orthonormalizeRows(rows, rank);
  return Float32Array.from(rows, (x) => ROW_NORM * x);
}

/**
 * Root mean square of A~'s code values below which too much of A would be subnormal or zero, by the
 * format: eight times the smallest normal value, or sixteen steps.
 */
const SMALLEST_CODE_RMS: Partial<Record<FormatName, number>> = {
  [FORMATS.e4m3.name]: 2 ** -3,
  [FORMATS.int8.name]: 2 ** 4,
};

/**
 * Multiplies A by the power of two nearest to 1 with which it can be stored in a format under a
 * given scale: no value beyond the maximum, then a root mean square that is not too small. The power
 * is nearly always 1, so the learning rate keeps its meaning.
 *
 * @param a f32 [rank, inputs]
 * @param scale What its values are multiplied by when they are quantised.
 * @returns A copy.
 */
export function representable(
  a: Float32Array,
  scale: number,
  { name, max }: NumberFormat,
): Float32Array<ArrayBuffer> {
  let [largest, squares] = [0, 0];
  for (const x of a) {
    largest = Math.max(largest, Math.abs(x));
    squares += x * x;
  }
  if (largest === 0) return Float32Array.from(a);
  const rms = Math.sqrt(squares / a.length) * scale;
  const highest = Math.floor(Math.log2(max / (largest * scale)));
  const wanted = Math.max(0, Math.ceil(Math.log2(SMALLEST_CODE_RMS[name]! / rms)));
  return Float32Array.from(a, (x) => x * 2 ** Math.min(wanted, highest));
}

function checkRankFits(rank: number, outputs: number, inputs: number): void {
  const most = Math.min(outputs, inputs);
  if (rank <= most) return;
  throw new OptionError(
    `Cannot adapt a weight of ${outputs}×${inputs} with rank ${rank}: it has only ${most} directions; ` +
      "choose a rank up to that, or fewer targetModules",
  );
}

/**
 * An adapter whose rows are random normal, of norm near 1/√3 and, because there are many inputs,
 * nearly orthogonal. Made on the GPU: cheap where gradient initialisation replaces it before
 * training.
 *
 * @returns A, f32 [rank, inputs]
 * @throws {OptionError} if the rank exceeds a side of the weight.
 */
export async function normalAdapter(
  device: Device,
  outputs: number,
  inputs: number,
  rank: number,
  random: () => number,
): Promise<Matrix> {
  checkRankFits(rank, outputs, inputs);
  return await randomMatrix(device, rank, inputs, ROW_NORM / Math.sqrt(inputs), random);
}

/** An f32 matrix of normal numbers with this standard deviation. */
export async function randomMatrix(
  device: Device,
  rows: number,
  cols: number,
  deviation: number,
  random: () => number,
): Promise<Matrix> {
  const out = device.matrix(rows, cols, "f32", "random directions", "model");
  try {
    await submitOnce(
      device,
      (program) => randomNormal(program, { key: drawKey(random), mean: 0, deviation, out }),
    );
    return out;
  } catch (error) {
    device.free(out);
    throw error;
  }
}

/** Computes sketch·sketchᵀ of each sketch, [rows, rows], in one read-back. */
export async function gramMatrices(
  device: Device,
  sketches: readonly Matrix[],
): Promise<Float64Array[]> {
  using program = new Program(device);
  const products: Matrix[] = [];
  try {
    for (const sketch of sketches) {
      const { rows } = sketch;
      const out = device.matrix(rows, rows, "f32", "Gram matrix of a sketch", "model");
      products.push(out);
      gemm(program, { layout: "nt", a: sketch, b: sketch, out, variant: sketchVariant(device) });
    }
    (await program.prepare()).run();
    const read = await device.readAll(products);
    return products.map(({ rows, cols, pitch }, i) =>
      Float64Array.from(unpitched(new Float32Array(read[i]), rows, cols, pitch))
    );
  } finally {
    device.free(...products);
  }
}

/**
 * The tiles of the products that sketches are made with, and of their Gram matrices: one kernel for
 * both, as to compile it takes longer than a Gram matrix in any tiles.
 */
export function sketchVariant({ isFallback }: Device): GemmVariant | undefined {
  return isFallback ? undefined : GEMM_VARIANTS.large;
}

/**
 * Compiles the kernels of {@linkcode leadingDirections}, while the GPU still computes the sketches.
 */
export async function compileDirections(
  device: Device,
  sketches: readonly Matrix[],
  rank: number,
): Promise<void> {
  using program = new Program(device);
  for (const sketch of sketches) {
    const combination = program.scratch(sketch.rows, rank, "combination");
    const out = program.scratch(rank, sketch.cols, "directions");
    combineRows(program, combination, sketch, out);
  }
  await program.compile();
}

/**
 * The leading right singular vectors of a sketch, as rows of norm 1/√3.
 *
 * @param sketch f32 [more than rank, inputs]
 * @param gram Its Gram matrix, from {@linkcode gramMatrices}.
 * @returns A, f32 [rank, inputs]; null if the sketch is zero.
 */
export async function leadingDirections(
  device: Device,
  sketch: Matrix,
  gram: Float64Array,
  rank: number,
): Promise<Matrix | null> {
  const width = sketch.rows;
  const { values, vectors } = symmetricEigen(gram, width);
  if (!(values[0] > 0)) return null;
  const columns = new Float32Array(width * rank);
  for (let i = 0; i < rank; i++) {
    const factor = values[i] > NEGLIGIBLE * values[0] ? ROW_NORM / Math.sqrt(values[i]) : 0;
    for (let j = 0; j < width; j++) columns[j * rank + i] = factor * vectors[i * width + j];
  }
  const scope = new Scope(device);
  try {
    const combination = scope.matrix(width, rank);
    device.writeMatrix(combination, columns);
    const out = scope.matrix(rank, sketch.cols);
    await submitOnce(device, (program) => combineRows(program, combination, sketch, out));
    return scope.keep(out);
  } finally {
    scope.close();
  }
}

/** Records `combinationᵀ·sketch`, with the kernel that made the sketch. */
function combineRows(program: Program, combination: Matrix, sketch: Matrix, out: Matrix): void {
  const a = columnsOf(combination);
  const variant = lowRankTile(sketch.rows, sketch.cols);
  lowRankGradient(program, { a, b: columnsOf(sketch), out, variant });
}

/**
 * Rows of a sketch for a rank: a few more than the rank, but no more than the weight has
 * directions.
 */
export function sketchRows(rank: number, outputs: number, inputs: number): number {
  return Math.min(rank + OVERSAMPLING, outputs, inputs);
}

/** Standard normal numbers by Box and Muller. */
function normals(count: number, random: () => number): Float32Array<ArrayBuffer> {
  return Float32Array.from(
    { length: count },
    () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random()),
  );
}
