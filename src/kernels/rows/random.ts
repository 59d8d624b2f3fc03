/**
 * Random matrices made on the GPU: the same values for the same key on every device.
 *
 * @module
 */

import type { Matrix } from "../../gpu/buffers.ts";
import { linearGrid, type Program } from "../../gpu/program.ts";
import { integerDeviation, type RandomKey, UNIFORM_BOUND } from "../../numerics/random_key.ts";
import { expectMatrix } from "../shapes.ts";

/** Threads of a workgroup. */
const THREADS = 256;

/** Operands and options of {@linkcode randomNormal}. */
export interface RandomNormalOptions {
  /** Which numbers: another key gives others. */
  key: RandomKey;
  mean: number;
  /** Standard deviation. */
  deviation: number;
  /** f32 or f16 [rows, cols] */
  out: Matrix;
}

/**
 * Records `out[r][c] = mean + deviation · z(r · cols + c)`; the twin is `normalValues` of
 * tests/oracle/random.ts.
 */
export function randomNormal(program: Program, options: RandomNormalOptions): void {
  const { key, mean, deviation, out } = options;
  record(program, { key, mean, step: deviation / integerDeviation, uniform: false, out });
}

/** Operands and options of {@linkcode randomUniform}. */
export interface RandomUniformOptions {
  /** Which numbers: another key gives others. */
  key: RandomKey;
  /** They are between −bound and bound. */
  bound: number;
  /** f32 or f16 [rows, cols] */
  out: Matrix;
}

/**
 * Records `out[r][c] = bound · u(r · cols + c)`, u in ±1; the twin is `uniformValues` of
 * tests/oracle/random.ts.
 */
export function randomUniform(program: Program, { key, bound, out }: RandomUniformOptions): void {
  record(program, { key, mean: 0, step: bound / UNIFORM_BOUND, uniform: true, out });
}

function record(program: Program, { key, mean, step, uniform, out }: {
  key: RandomKey;
  mean: number;
  step: number;
  uniform: boolean;
  out: Matrix;
}): void {
  const { rows, cols, pitch, type } = out;
  expectMatrix("random", "out", out, { rows, cols, types: ["f32", "f16"] });
  const vectors = pitch / 4;
  program.dispatch(
    program.device.kernel("random", { F16: type === "f16", UNIFORM: uniform, THREADS }),
    { out },
    { rows, cols, vectors, key_low: key.low, key_high: key.high, mean, step },
    linearGrid(rows * vectors, THREADS),
  );
}
