/**
 * The gradient of a factor of low rank in packed half-precision arithmetic: f16 factors, sums in f16
 * for a run of tokens and then in f32. `low_rank_gradient.ts` comes here where the right factor is
 * given in pairs.
 *
 * @module
 */

import { type Matrix, roundUp } from "../../gpu/buffers.ts";
import type { Device } from "../../gpu/device.ts";
import type { Program } from "../../gpu/program.ts";
import { formatOf, type NumberFormat } from "../../numerics/formats.ts";
import type { QuantizedGradient } from "../rows/quantize.ts";
import type { LowRankProduct } from "./low_rank_product.ts";
import { recordSplitK } from "./low_rank_split.ts";

/** Tokens whose products are added in f16: half of them in each half of a pair. */
export const RUN = 64;

/** A right factor in pairs of tokens, and the codes of the gradients that it is multiplied by. */
export interface LowRankPairs {
  /** f16 [tokens, cols], each pair of tokens side by side: columns normalised within a run. */
  pairs: Matrix;
  /** f32 [runs, cols]: what the values of each run were divided by. */
  runScales: Matrix;
  codes: QuantizedGradient;
}

/** Whether a gradient with codes is multiplied in packed arithmetic on a device. */
export function packsGradients(device: Device, codes: QuantizedGradient | null): boolean {
  return device.tuning.packedGradients && codes !== null;
}

/**
 * Records normalising a right factor for gradients with codes. Valid until the program asks for the
 * next one.
 *
 * @param x f32 [tokens, cols]: all columns that any of the gradients are multiplied by.
 */
export function pairsForGradients(
  program: Program,
  x: Matrix,
  codes: QuantizedGradient,
): LowRankPairs {
  if (codes.scales.length < x.rows) {
    throw new RangeError(`Cannot divide ${x.rows} rows by ${codes.scales.length} scales`);
  }
  const runs = Math.ceil(x.rows / RUN);
  const pairs = program.scratch(runs * RUN, x.cols, "right factor in pairs", "f16");
  const runScales = program.scratch(runs, x.cols, "scales of a right factor in pairs");
  const quads = x.pitch % 64 === 0 ? 16 : 4;
  program.dispatch(
    program.device.kernel("low_rank_pairs", {
      RUN,
      QUADS: quads,
      EXPONENT: rightExponent(formatOf(codes.codes.type)),
    }),
    { x, row_scales: codes.scales, pairs, run_scales: runScales },
    { tokens: x.rows, pitch: x.pitch / 4 },
    [x.pitch / (4 * quads), runs],
    { flops: 0, bytes: 6 * x.rows * x.cols, label: `${x.rows}×${x.cols}` },
  );
  return { pairs, runScales, codes };
}

/**
 * The power of two that values of the right factor stay below: RUN / 2 products with the largest
 * scaled value of the left one then stay below 2^15, half of what f16 holds.
 */
function rightExponent({ name, max, scale }: NumberFormat): number {
  if (!scale) throw new TypeError(`Codes in ${name} do not tell how a gradient comes within f16`);
  const largest = scale.kind === "power of two" ? scale.below : max;
  return Math.floor(15 - Math.log2(largest * RUN / 2));
}

/** What {@linkcode lowRankGradientHalf} is told of the tiles and the tokens of a workgroup. */
export interface LowRankHalfVariant {
  tile: { BM: number; BN: number; BK: number; TM: number; TN: number };
  /** Rounded up to whole runs. */
  splitK: number;
}

/**
 * Records `out (+)= alpha · aᵀ·b` by f16 factors.
 *
 * @param product Checked; `b` is a block of what the pairs were made of.
 */
export function lowRankGradientHalf(
  program: Program,
  product: LowRankProduct,
  { pairs, runScales, codes }: LowRankPairs,
  variant: LowRankHalfVariant,
): void {
  const { a, b, out, alpha = 1, accumulate = false } = product;
  const { scales, columnScales } = codes;
  const [m, tokens] = [a.cols, a.matrix.rows];
  if (pairs.cols !== b.matrix.cols || runScales.rows !== Math.ceil(tokens / RUN)) {
    throw new RangeError(
      `Cannot take pairs of ${pairs.rows}×${pairs.cols} for ${tokens}×${b.matrix.cols}`,
    );
  }
  if (columnScales && columnScales.length < a.column + m) {
    throw new RangeError(
      `Cannot divide columns ${a.column} to ${a.column + m} by ${columnScales.length} scales`,
    );
  }
  const { tile } = variant;
  const { BM, BN, BK, TM, TN } = tile;
  const splitK = roundUp(variant.splitK, RUN);
  const threads = (BM / TM) * (BN / TN);
  const isF16 = a.matrix.type === "f16";
  recordSplitK(program, {
    a,
    b,
    out,
    accumulate,
    splitK,
    kernel: "low_rank_gradient_half",
    constants: {
      ...tile,
      RUN,
      A_LOADS: Math.ceil(BK * BM / 8 / threads),
      B_LOADS: Math.ceil(BK * BN / 8 / threads),
      A_TYPE: a.matrix.type,
      COLUMN_SCALES: !!columnScales,
    },
    bindings: {
      b: pairs,
      run_scales: runScales,
      ...(!isF16 && { row_scales: scales }),
      ...(columnScales && { column_scales: columnScales }),
    },
    params: { split_k: splitK, alpha },
    unit: 4,
  });
}
