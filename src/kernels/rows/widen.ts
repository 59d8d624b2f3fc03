/**
 * Widens values of 16 bits: the weights of a file on the GPU, so that half the bytes are uploaded,
 * and matrices in f16 for kernels that read f32.
 *
 * @module
 */

import type { BufferView, Matrix } from "../../gpu/buffers.ts";
import { linearGrid, type Program } from "../../gpu/program.ts";
import { expectMatrix } from "../shapes.ts";

/** Threads of a workgroup. */
const THREADS = 256;

/** Operands and options of {@linkcode widen}. */
export interface WidenOptions {
  /** Packed [rows, cols] elements of 16 bits, as a file holds them. */
  raw: BufferView;
  /** What they are. */
  dtype: "F16" | "BF16";
  /** f32 or f16 [rows, cols] */
  out: Matrix;
}

/** Records `out = decode(raw)`, exact except where bfloat16 becomes f16. */
export function widen(program: Program, { raw, dtype, out }: WidenOptions): void {
  const { rows, cols, pitch, type } = out;
  expectMatrix("widen", "out", out, { rows, cols, types: ["f32", "f16"] });
  if (raw.size < 2 * rows * cols) {
    throw new RangeError(`widen: raw holds ${raw.size} bytes, not ${2 * rows * cols}`);
  }
  const vectors = pitch / 4;
  program.dispatch(
    program.device.kernel("widen", { F16: type === "f16", BFLOAT: dtype === "BF16", THREADS }),
    { raw, out },
    { rows, cols, vectors },
    linearGrid(rows * vectors, THREADS),
  );
}

/** A matrix in f32: one in f16 widened into the program's scratch memory, f32 as it is. */
export function inF32(program: Program, matrix: Matrix): Matrix {
  if (matrix.type !== "f16") return matrix;
  const { rows, cols, pitch } = matrix;
  // With its padding a matrix is as packed as a file.
  const out = program.scratch(rows, pitch, "widened values");
  widen(program, { raw: matrix, dtype: "F16", out });
  return { ...out, cols };
}
