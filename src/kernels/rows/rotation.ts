/**
 * Rotation of rows by the block Hadamard transform: what its WGSL is told, and the kernel that does
 * nothing else. Kernels that quantise rotate what they write, and kernels that take up a gradient
 * rotate what they read, so a pass of its own is for weights, and for gradients of which that is not
 * so.
 *
 * @module
 */

import type { Matrix } from "../../gpu/buffers.ts";
import { linearGrid, type Program } from "../../gpu/program.ts";
import type { KernelConstants } from "../../gpu/template.ts";
import { LARGEST_ROTATION } from "../../numerics/hadamard.ts";
import { expectMatrix } from "../shapes.ts";

/** Threads of a workgroup of the kernel that only rotates: 8 KiB of workgroup memory. */
const THREADS = 128;

/**
 * The constants of `wgsl/rows/hadamard.wgsl`.
 *
 * - `ROTATED`: what is rotated: `none`, or `what`;
 * - `BUTTERFLY_2` and so on: whether values that are so far apart are added and subtracted;
 * - `ROTATION_FACTOR`: what normalises the result.
 *
 * @param what `values` that a kernel writes, or a `source` that it reads.
 * @param block Columns of a block; 1 for no rotation.
 */
export function rotationConstants(what: "values" | "source", block: number): KernelConstants {
  if (block === 1) return { ROTATED: "none" };
  return {
    ROTATED: what,
    ...Object.fromEntries([2, 4, 8, 16, 32, 64, 128].map((h) => [`BUTTERFLY_${h}`, h < block])),
    ROTATION_FACTOR: `${Math.fround(1 / Math.sqrt(block))}f`,
  };
}

/**
 * Checks the block by which rows are to be rotated.
 *
 * @param kernel Name of the recorder, for the message.
 * @param cols Columns of a row.
 * @throws {RangeError} for a block that is no power of two, too large, or does not divide the row.
 */
export function expectRotation(kernel: string, block: number, cols: number): void {
  const possible = Number.isInteger(Math.log2(block)) && block <= LARGEST_ROTATION;
  if (possible && cols % block === 0) return;
  throw new RangeError(
    `${kernel}: cannot rotate rows of ${cols} by blocks of ${block}: ` +
      `expected a power of two up to ${LARGEST_ROTATION} that divides them`,
  );
}

/** Operands of {@linkcode rotate}. */
export interface RotateOptions {
  /** f32 [rows, cols] */
  input: Matrix;
  /** f32 [rows, cols], in other memory. Default: the input is overwritten. */
  output?: Matrix;
  /** Whether to add to what another `output` holds. Default false. */
  accumulate?: boolean;
  /** Columns of a block: a power of two up to 256 that divides `cols`; 1 changes nothing. */
  block: number;
}

/**
 * Records `output = input · H`, block by block along the rows. Doing it twice gives the input, but
 * for rounding. The twin is `rotateValues` of numerics/hadamard.ts, bit for bit.
 */
export function rotate(
  program: Program,
  { input, output, accumulate = false, block }: RotateOptions,
): void {
  const { rows, cols, pitch } = input;
  expectMatrix("rotate", "input", input, { rows, cols });
  if (output) expectMatrix("rotate", "output", output, { rows, cols });
  expectRotation("rotate", block, cols);
  if (accumulate && !output) throw new RangeError("rotate: nothing is added without an output");
  const vectors = rows * pitch / 4;
  if (block === 1) {
    if (accumulate) {
      const add = program.device.kernel("add", { THREADS });
      const grid = linearGrid(vectors, THREADS);
      const cost = { bytes: 12 * rows * pitch, label: `${rows}×${cols}` };
      program.dispatch(add, { input, output: output! }, { vectors }, grid, cost);
    } else if (output) program.copy(input, output);
    return;
  }
  program.dispatch(
    program.device.kernel("rotate", {
      THREADS,
      IN_PLACE: !output,
      ACCUMULATE: accumulate,
      ...rotationConstants("values", block),
    }),
    output ? { input, output } : { output: input },
    { vectors },
    linearGrid(vectors, 4 * THREADS),
    { bytes: 8 * rows * pitch, label: `${rows}×${cols} by ${block}` },
  );
}
