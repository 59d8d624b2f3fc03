/**
 * Matrix products in the three layouts that training needs.
 *
 * @module
 */

import {
  type ColumnBlock,
  columnsOf,
  type ElementType,
  type Matrix,
  pitchOf,
  roundUp,
  type Vector,
} from "../gpu/buffers.ts";
import type { Program } from "../gpu/program.ts";
import type { KernelConstants } from "../gpu/template.ts";
import { sumPartials } from "./sum_partials.ts";

/** How the operands are stored: forward (A·Bᵀ), gradient of the input (A·B), gradient of a weight (Aᵀ·B). */
export type GemmLayout = "nt" | "nn" | "tn";

/** What {@linkcode gemm} multiplies and where the result goes. */
export interface GemmOptions {
  /**
   * - `nt`: a [m, k], b [n, k]
   * - `nn`: a [m, k], b [k, n]
   * - `tn`: a [k, m], b [k, n]
   */
  layout: GemmLayout;
  a: Matrix | ColumnBlock;
  b: Matrix | ColumnBlock;
  /** f32 [m, n] */
  out: Matrix | ColumnBlock;
  /** f32 [m]: row m of the product is divided by it (the scale of a quantised `a`). */
  rowScales?: Vector;
  /** f32 [n]: column n of the product is divided by it (the scale of a quantised `b`). */
  columnScales?: Vector;
  /** Factor of the product. Default 1. */
  alpha?: number;
  /** f32 [m, n], added to the product: the residual stream. */
  addend?: Matrix;
  /** Add to what `out` holds. Default false. */
  accumulate?: boolean;
  /** Tile sizes, for measurements. Default: chosen by shape. */
  tile?: GemmTile;
  /** f32 [m, t]: receives the last t of the n columns, where `out` has n - t. */
  tail?: Matrix;
}

/** Tile sizes of a variant, all multiples of 4. */
export interface GemmTile {
  /** Rows and columns of the output that a workgroup computes. */
  BM: number;
  BN: number;
  /** Length of contraction that is in workgroup memory at a time. */
  BK: number;
  /** Rows and columns that a thread computes. */
  TM: number;
  TN: number;
}

const LARGE: GemmTile = { BM: 128, BN: 64, BK: 16, TM: 8, TN: 8 };
const MEDIUM: GemmTile = { BM: 64, BN: 64, BK: 16, TM: 8, TN: 8 };
const SMALL: GemmTile = { BM: 32, BN: 32, BK: 16, TM: 4, TN: 4 };

/** Workgroups below which a product is split along k, to give every core of a large GPU work. */
const ENOUGH_WORKGROUPS = 128;
/** Contraction steps that a split keeps at least, so that partial sums do not cost more than they win. */
const SHORTEST_SPLIT = 512;

/** Records `out = alpha · a·b` (see {@linkcode GemmOptions}) with f32 accumulation. */
export function gemm(program: Program, options: GemmOptions): void {
  const { layout, rowScales, columnScales, alpha = 1, addend, accumulate = false, tail } = options;
  const a = asBlock(options.a);
  const b = asBlock(options.b);
  const out = asBlock(options.out);
  const aByK = layout === "tn";
  const bByK = layout !== "nt";
  const [m, k] = aByK ? [a.cols, a.matrix.rows] : [a.matrix.rows, a.cols];
  const [n, bk] = bByK ? [b.cols, b.matrix.rows] : [b.matrix.rows, b.cols];
  checkShapes(options, { m, n, k, bk, out });
  if (m === 0 || n === 0) return;

  const tile = options.tile ?? tileFor(m, n);
  const grid: [number, number] = [Math.ceil(roundUp(n, 16) / tile.BN), Math.ceil(m / tile.BM)];
  const simple = !rowScales && !columnScales && !addend && !tail;
  const splits = simple ? splitsFor(grid[0] * grid[1], k) : 1;
  const params = {
    m,
    n,
    k: Math.min(k, bk),
    a_pitch: a.matrix.pitch,
    a_column: a.column,
    b_pitch: b.matrix.pitch,
    b_column: b.column,
    out_pitch: out.matrix.pitch,
    out_column: out.column,
    tail_from: tail ? n - tail.cols : n,
    tail_pitch: tail?.pitch ?? 0,
    addend_pitch: addend?.pitch ?? 0,
    alpha: alpha * decodeFactor(a.matrix.type) * decodeFactor(b.matrix.type),
  };
  const constants = {
    ...tile,
    ...operandConstants(a.matrix.type, b.matrix.type, layout),
    ...loadConstants(tile),
    ROW_SCALES: !!rowScales,
    COLUMN_SCALES: !!columnScales,
    ADDEND: !!addend,
    TAIL: !!tail,
    ACCUMULATE: accumulate && splits === 1,
    SPLIT: splits > 1,
    SPLITS: splits,
  };
  const kernel = program.device.kernel("gemm", constants);
  const bindings = {
    a: a.matrix,
    b: b.matrix,
    ...(rowScales && { row_scales: rowScales }),
    ...(columnScales && { column_scales: columnScales }),
    ...(addend && { addend }),
    ...(tail && { tail }),
  };
  if (splits === 1) {
    program.dispatch(kernel, { ...bindings, out: out.matrix }, params, grid);
    return;
  }
  const partials = program.scratch(splits * m, n, "gemm partial products");
  const partialParams = { ...params, out_pitch: partials.pitch, out_column: 0 };
  program.dispatch(kernel, { ...bindings, out: partials }, partialParams, [...grid, splits]);
  sumPartials(program, { partials, splits, out, rows: m, cols: n, accumulate });
}

/** Large tiles read operands less often, small ones leave fewer cores and threads without work. */
function tileFor(m: number, n: number): GemmTile {
  return m * n >= 512 * 512 ? LARGE : Math.min(m, n) >= 64 ? MEDIUM : SMALL;
}

/** Shares of the contraction; 1 where the tiles alone fill the GPU. */
function splitsFor(workgroups: number, k: number): number {
  const wanted = Math.floor(ENOUGH_WORKGROUPS / workgroups);
  return Math.max(1, Math.min(wanted, Math.floor(k / SHORTEST_SPLIT), 16));
}

/** The kernel decodes e4m3 as value · 2⁻⁸. */
function decodeFactor(type: ElementType): number {
  return type === "e4m3" ? 256 : 1;
}

function operandConstants(a: ElementType, b: ElementType, layout: GemmLayout): KernelConstants {
  return {
    A_TYPE: a,
    B_TYPE: b,
    A_FP8: a === "e4m3" || a === "e5m2",
    B_FP8: b === "e4m3" || b === "e5m2",
    A_BY_K: layout === "tn",
    B_BY_K: layout !== "nt",
  };
}

/** Blocks of 4×4 that one thread fetches of each operand in a step. */
function loadConstants({ BM, BN, BK, TM, TN }: GemmTile): KernelConstants {
  const threads = (BM / TM) * (BN / TN);
  return {
    A_LOADS: Math.ceil(BM * BK / 16 / threads),
    B_LOADS: Math.ceil(BN * BK / 16 / threads),
  };
}

function asBlock(operand: Matrix | ColumnBlock): ColumnBlock {
  return "matrix" in operand ? operand : columnsOf(operand);
}

/**
 * Whether two widths are the same up to zeros: activations have zero columns up to their pitch where merged weights have
 * zero rows up to a multiple of 16.
 */
function samePitch(a: number, b: number): boolean {
  return pitchOf(a) === pitchOf(b);
}

function checkShapes(
  { layout, rowScales, columnScales, addend, tail }: GemmOptions,
  { m, n, k, bk, out }: { m: number; n: number; k: number; bk: number; out: ColumnBlock },
): void {
  const main = n - (tail?.cols ?? 0);
  const contracted = layout === "nn" ? samePitch(k, bk) : k === bk;
  const rows = layout === "tn" ? samePitch(out.matrix.rows, m) : out.matrix.rows === m;
  const problem = !contracted
    ? `contraction lengths ${k} and ${bk} differ`
    : !rows || !samePitch(out.cols, main)
    ? `the output is ${out.matrix.rows}×${out.cols}, not ${m}×${main}`
    : tail && (tail.rows !== m || n % 16 || tail.cols % 16)
    ? `a tail of ${tail.rows}×${tail.cols} does not fit ${m}×${n} (widths must be multiples of 16)`
    : rowScales && rowScales.length < m
    ? `${rowScales.length} row scales for ${m} rows`
    : columnScales && columnScales.length < n
    ? `${columnScales.length} column scales for ${n} columns`
    : addend && (addend.rows !== m || !samePitch(addend.cols, main))
    ? `the addend is ${addend.rows}×${addend.cols}, not ${m}×${out.cols}`
    : null;
  if (problem) throw new RangeError(`Cannot multiply (${layout}) as ${problem}`);
}
