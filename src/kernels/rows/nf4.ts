/**
 * Weights in NF4 with double quantisation: src/numerics/nf4.ts on the GPU.
 *
 * @module
 */

import {
  asVector,
  type BufferView,
  type Matrix,
  pitchOf,
  roundUp,
  type Vector,
} from "../../gpu/buffers.ts";
import type { Device } from "../../gpu/device.ts";
import { linearGrid, type Program } from "../../gpu/program.ts";
import {
  DYNAMIC_VALUES,
  DYNAMIC_ZERO,
  midpoints,
  NF4_BLOCK,
  NF4_GROUP,
  NF4_VALUES,
  NF4_ZERO,
} from "../../numerics/nf4.ts";
import { expectMatrix } from "../shapes.ts";
import { addSum } from "./sum.ts";

/** A weight [rows, cols] in NF4. */
export interface Nf4Weight {
  rows: number;
  cols: number;
  /** 4-bit codes [rows rounded up to 16, pitch of cols], eight in a u32, lowest bits first. */
  codes: BufferView;
  /** u8 [blocks]: codes of the blocks' magnitudes, four in a u32. */
  absmaxCodes: BufferView;
  /** f32 [groups + 1]: the scale of each group of blocks, then the offset of all magnitudes. */
  statistics: Vector;
}

/** Blocks of a weight, and groups of these. */
function counts(rows: number, cols: number): { blocks: number; groups: number } {
  const blocks = Math.ceil(rows * cols / NF4_BLOCK);
  return { blocks, groups: Math.ceil(blocks / NF4_GROUP) };
}

/** Rows that have codes: as many as the part of a merged weight that belongs to this one. */
function codeRows(rows: number): number {
  return roundUp(rows, 16);
}

/** Allocates a weight in NF4. */
export function nf4Weight(device: Device, rows: number, cols: number, label: string): Nf4Weight {
  const { blocks, groups } = counts(rows, cols);
  return {
    rows,
    cols,
    codes: device.allocate(codeRows(rows) * pitchOf(cols) / 2, `${label} NF4 codes`, "model"),
    absmaxCodes: device.allocate(blocks, `${label} magnitudes`, "model"),
    statistics: device.vector(groups + 1, "f32", `${label} scales of magnitudes`, "model"),
  };
}

/** Uploads the number types, for all weights of a device: `Tables` of wgsl/rows/nf4_tables.wgsl. */
export function uploadNf4Tables(device: Device): BufferView {
  const tables = new Float32Array(2 * DYNAMIC_VALUES.length + 2 * NF4_VALUES.length);
  let at = 0;
  for (const values of [DYNAMIC_VALUES, NF4_VALUES]) {
    tables.set(values, at);
    tables.set(midpoints(values), at + values.length);
    at += 2 * values.length;
  }
  const view = device.allocate(tables.byteLength, "NF4 tables", "model");
  device.write(view, tables);
  return view;
}

/** Operands and options of {@linkcode quantizeNf4}. */
export interface Nf4QuantizeOptions {
  /** f32 [rows, cols] */
  input: Matrix;
  weight: Nf4Weight;
  /** From {@linkcode uploadNf4Tables}. */
  tables: BufferView;
}

/** Records the quantisation of a weight, as `quantizeNf4` of src/numerics/nf4.ts. */
export function quantizeNf4(program: Program, options: Nf4QuantizeOptions): void {
  const { input, weight: { rows, cols, codes, absmaxCodes, statistics }, tables } = options;
  expectMatrix("quantizeNf4", "input", input, { rows, cols });
  const { device } = program;
  const { blocks, groups } = counts(rows, cols);
  const { pitch } = input;
  const absmax = asVector(program.scratch(1, blocks, "NF4 magnitudes", "f32", "model"));
  const sum = program.scratch(1, 1, "NF4 sum of magnitudes");
  program.dispatch(
    device.kernel("nf4_absmax", { BLOCK: NF4_BLOCK }),
    { x: input, absmax },
    { count: rows * cols, cols, pitch },
    linearGrid(blocks, 64),
  );
  program.clear(sum);
  addSum(program, { values: absmax, out: sum });
  program.dispatch(
    device.kernel("nf4_quantize_absmax", { THREADS: NF4_GROUP / 4, DYNAMIC_ZERO }),
    { absmax, sum, tables, codes: absmaxCodes, statistics },
    { blocks, groups, inverse_blocks: 1 / blocks },
    linearGrid(groups, 1),
  );
  const words = pitch / 8;
  program.dispatch(
    device.kernel("nf4_quantize", { BLOCK: NF4_BLOCK, NF4_ZERO }),
    { x: input, absmax, tables, codes },
    { rows, code_rows: codeRows(rows), cols, words },
    linearGrid(codeRows(rows) * words, 64),
  );
}

/** Operands and options of {@linkcode dequantizeNf4}. */
export interface Nf4DequantizeOptions {
  weight: Nf4Weight;
  /** From {@linkcode uploadNf4Tables}. */
  tables: BufferView;
  /** f16 [rows rounded up to 16, cols]; the surplus rows become zero. */
  out: Matrix;
}

/** Records `out = decode(weight)`. */
export function dequantizeNf4(program: Program, options: Nf4DequantizeOptions): void {
  const { weight: { rows, cols, codes, absmaxCodes, statistics }, tables, out } = options;
  expectMatrix("dequantizeNf4", "out", out, { rows: codeRows(rows), cols, types: ["f16"] });
  const { blocks, groups } = counts(rows, cols);
  const words = out.pitch / 8;
  const THREADS = 256;
  program.dispatch(
    program.device.kernel("nf4_dequantize", {
      BLOCK: NF4_BLOCK,
      GROUP: NF4_GROUP,
      STRADDLES: cols % 8 !== 0,
      THREADS,
    }),
    { codes, absmax_codes: absmaxCodes, statistics, tables, out },
    { rows: out.rows, cols, words, last_block: blocks - 1, groups },
    linearGrid(out.rows * words, THREADS),
    { label: `${rows}×${cols}` },
  );
}
