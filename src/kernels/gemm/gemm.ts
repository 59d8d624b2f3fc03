/**
 * Matrix products in the three layouts that training needs.
 *
 * Operands in f32 are multiplied in f32. If both become f16 exactly and the GPU has f16, they are
 * packed and multiplied with packed arithmetic or on tensor cores: see products.ts and
 * {@linkcode chooseVariant}. Operands in int8 are multiplied as integers, and their sums are exact:
 * every kernel gives the same bits.
 *
 * @module
 */

import {
  type BufferView,
  type ColumnBlock,
  columnsOf,
  type Matrix,
  pitchOf,
  roundUp,
  type Vector,
} from "../../gpu/buffers.ts";
import type { Program } from "../../gpu/program.ts";
import type { KernelConstants } from "../../gpu/template.ts";
import { formatOf } from "../../numerics/formats.ts";
import { int8Operands } from "./int8_operands.ts";
import { packedOperands, storedOperands } from "./operands.ts";
import type { PackedOperandCache } from "./pack.ts";
import { multiplies } from "./products.ts";
import { sumPartials } from "./sum_partials.ts";
import { chooseVariant, type GemmVariant, splitKLength } from "./variants.ts";

/**
 * How the operands are stored: forward (A·Bᵀ), gradient of the input (A·B), gradient of a weight
 * (Aᵀ·B).
 */
export type GemmLayout = "nt" | "nn" | "tn";

/** Operands and options of {@linkcode gemm}. */
export interface GemmOptions {
  /**
   * - `nt`: a [m, k], b [n, k]
   * - `nn`: a [m, k], b [k, n]
   * - `tn`: a [k, m], b [k, n]; not in int8
   */
  layout: GemmLayout;
  a: Matrix | ColumnBlock;
  b: Matrix | ColumnBlock;
  /** [m, n], f32; or f16 without `accumulate`: finite values saturate at ±65504. */
  out: Matrix | ColumnBlock;
  /** f32 [m]: row m of the product is divided by it (the scale of a quantised `a`). */
  rowScales?: Vector;
  /** f32 [n]: column n of the product is divided by it (the scale of a quantised `b`). */
  columnScales?: Vector;
  /** Factor of the product. Default 1. */
  alpha?: number;
  /** f32 [n], times `biasFactor` added to every row of the product. */
  bias?: Vector;
  /** Default 1. */
  biasFactor?: number;
  /** f32 [m, n], added to the product: the residual stream. */
  addend?: Matrix;
  /** Add to what `out` holds. Default false. */
  accumulate?: boolean;
  /** The kernel and its tiles, for measurements. Default: {@linkcode chooseVariant}. */
  variant?: GemmVariant;
  /** Where other products of the program take the same `b`. */
  packedCache?: PackedOperandCache;
  /** f32 [m, t]: receives the last t of the n columns, where `out` has n - t. */
  secondOutput?: Matrix;
}

/**
 * Records `out = alpha · a·b` (see {@linkcode GemmOptions}) with f32 accumulation, or exact sums of
 * int8 operands.
 *
 * @throws {RangeError} for operands that do not fit together, and types that no kernel multiplies.
 */
export function gemm(program: Program, options: GemmOptions): void {
  const { layout, bias, addend, accumulate = false, secondOutput } = options;
  const a = asBlock(options.a);
  const b = asBlock(options.b);
  const out = asBlock(options.out);
  const aByK = layout === "tn";
  const bByK = layout !== "nt";
  const [m, ak] = aByK ? [a.cols, a.matrix.rows] : [a.matrix.rows, a.cols];
  const [n, bk] = bByK ? [b.cols, b.matrix.rows] : [b.matrix.rows, b.cols];
  checkShapes(options, { m, n, k: ak, bk, blocks: { a, b, out } });
  if (m === 0 || n === 0) return;

  const shape = { m, n, k: Math.min(ak, bk), aType: a.matrix.type, bType: b.matrix.type };
  const variant = options.variant ?? chooseVariant(program.device, shape);
  const { BM, BN } = variant.tile;
  const grid: [number, number] = [Math.ceil(roundUp(n, 16) / BN), Math.ceil(m / BM)];
  // Partial products are f32, and their sum takes nothing along.
  const whole = !!bias || !!addend || !!secondOutput || out.matrix.type !== "f32";
  const splitK = splitKLength(grid[0] * grid[1], shape.k, variant, whole);
  const splits = Math.max(1, Math.ceil(shape.k / splitK)); // none of them empty
  const taken = { ...shape, aByK, bByK, splitK, variant, cache: options.packedCache };
  if (!multiplies(variant.kernel, formatOf(shape.aType), formatOf(shape.bType))) {
    throw new RangeError(
      `The kernel ${variant.kernel} does not multiply ${shape.aType} by ${shape.bType}`,
    );
  }
  const operands = OPERANDS[variant.kernel](program, a, b, taken);
  const kernel = program.device.kernel(variant.kernel, {
    ...variant.tile,
    ...operands.constants,
    ...outputConstants(options, variant),
    ACCUMULATE: accumulate && splits === 1,
  });
  const partials = splits > 1 && program.scratch(splits * m, n, "gemm partial products");
  const bindings = {
    ...operands.bindings,
    ...outputBindings(options),
    out: partials || out.matrix,
  };
  program.dispatch(
    kernel,
    hasOptionalParts(variant) ? { ...placeholders(program, bindings.a), ...bindings } : bindings,
    {
      m,
      n,
      ...operands.params,
      out_pitch: partials ? partials.pitch : out.matrix.pitch,
      out_column: partials ? 0 : out.column,
      second_from: secondOutput ? n - secondOutput.cols : NO_SECOND_OUTPUT,
      second_pitch: secondOutput?.pitch ?? 0,
      addend_pitch: addend?.pitch ?? 0,
      alpha: (options.alpha ?? 1) * operands.factor,
      ...(hasOptionalParts(variant) && {
        has_row_scales: options.rowScales ? 1 : 0,
        has_column_scales: options.columnScales ? 1 : 0,
      }),
      ...(bias && { bias_factor: options.biasFactor ?? 1 }),
    },
    partials ? [...grid, splits] : grid,
    {
      flops: 2 * m * n * shape.k,
      bytes: Object.values(bindings).reduce((sum, { size }) => sum + size, 0),
      label: `${layout} ${shape.aType}·${shape.bType} ${m}×${n}×${shape.k}`,
    },
  );
  if (partials) sumPartials(program, { partials, splits, out, rows: m, cols: n, accumulate });
}

/** What each kernel takes its operands as. */
const OPERANDS = {
  gemm: storedOperands,
  gemm_f16: packedOperands,
  gemm_tensor: packedOperands,
  gemm_int8: int8Operands,
  gemm_int8_tensor: int8Operands,
  gemm_int8_rows: int8Operands,
} as const;

/** Where a second output begins that is not there: a multiple of 4 past all columns. */
const NO_SECOND_OUTPUT = 2 ** 32 - 4;

/**
 * Whether the kernel binds everything that a product may come with but a bias, so that one variant
 * serves all products of a model without biases.
 */
function hasOptionalParts({ kernel }: GemmVariant): boolean {
  return kernel === "gemm_f16" || kernel === "gemm_int8" || kernel === "gemm_int8_rows";
}

function outputConstants(
  { out, rowScales, columnScales, bias, addend, secondOutput }: GemmOptions,
  variant: GemmVariant,
): KernelConstants {
  const optional = hasOptionalParts(variant);
  return {
    OPTIONAL: optional,
    ROW_SCALES: optional || !!rowScales,
    COLUMN_SCALES: optional || !!columnScales,
    BIAS: !!bias,
    ADDEND: optional || !!addend,
    SECOND_OUTPUT: optional || !!secondOutput,
    OUT_F16: asBlock(out).matrix.type === "f16",
  };
}

/** What is bound in place of what a product comes without. */
function placeholders(program: Program, read: BufferView) {
  const secondOutput = program.scratch(1, 1, "in place of a second output");
  return { row_scales: read, column_scales: read, addend: read, second_output: secondOutput };
}

function outputBindings({ rowScales, columnScales, bias, addend, secondOutput }: GemmOptions) {
  return {
    ...(rowScales && { row_scales: rowScales }),
    ...(columnScales && { column_scales: columnScales }),
    ...(bias && { bias }),
    ...(addend && { addend }),
    ...(secondOutput && { second_output: secondOutput }),
  };
}

function asBlock(operand: Matrix | ColumnBlock): ColumnBlock {
  return "matrix" in operand ? operand : columnsOf(operand);
}

/**
 * Whether two widths are the same up to zeros: activations have zero columns up to their pitch
 * where merged weights have zero rows up to a multiple of 16.
 */
function samePitch(a: number, b: number): boolean {
  return pitchOf(a) === pitchOf(b);
}

function checkShapes(
  { layout, rowScales, columnScales, bias, addend, accumulate, secondOutput }: GemmOptions,
  { m, n, k, bk, blocks }: {
    m: number;
    n: number;
    k: number;
    bk: number;
    blocks: { a: ColumnBlock; b: ColumnBlock; out: ColumnBlock };
  },
): void {
  const { out } = blocks;
  const main = n - (secondOutput?.cols ?? 0);
  const contracted = layout === "nn" ? samePitch(k, bk) : k === bk;
  const rows = layout === "tn"
    ? samePitch(out.matrix.rows, m) && out.matrix.rows >= m
    : out.matrix.rows === m;
  const outside = Object.entries(blocks).find(([, { matrix, column, cols }]) =>
    column % 4 !== 0 || column + cols > matrix.pitch
  );
  const problem = outside
    ? `the columns of ${outside[0]} from ${outside[1].column} on are not inside it`
    : !contracted
    ? `contraction lengths ${k} and ${bk} differ`
    : !rows || !samePitch(out.cols, main)
    ? `the output is ${out.matrix.rows}×${out.cols}, not ${m}×${main}`
    : secondOutput && (secondOutput.rows !== m || n % 16 || secondOutput.cols % 16)
    ? `a second output of ${secondOutput.rows}×${secondOutput.cols} does not fit ${m}×${n} ` +
      "(widths must be multiples of 16)"
    : rowScales && rowScales.length < m
    ? `${rowScales.length} row scales for ${m} rows`
    : columnScales && columnScales.length < n
    ? `${columnScales.length} column scales for ${n} columns`
    : bias && (bias.length < main || bias.type !== "f32")
    ? `the bias has ${bias.length} values in ${bias.type} for ${main} columns in f32`
    : out.matrix.type !== "f32" && (out.matrix.type !== "f16" || accumulate)
    ? `the output is ${out.matrix.type}${accumulate ? " and accumulates" : ""}`
    : addend && (addend.rows !== m || !samePitch(addend.cols, main))
    ? `the addend is ${addend.rows}×${addend.cols}, not ${m}×${out.cols}`
    : null;
  if (problem) throw new RangeError(`Cannot multiply (${layout}) as ${problem}`);
}
