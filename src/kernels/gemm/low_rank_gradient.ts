/**
 * The gradient of a factor of low rank: a product that is long in tokens and has few rows or few
 * columns.
 *
 * @module
 */

import { ELEMENT_BYTES, roundUp } from "../../gpu/buffers.ts";
import type { Device } from "../../gpu/device.ts";
import type { Program } from "../../gpu/program.ts";
import { type GradientScale, lowRankGradientTensor } from "./low_rank_gradient_tensor.ts";
import { type LowRankProduct, rightBindings, rightConstants } from "./low_rank_product.ts";
import { recordSplitK } from "./low_rank_split.ts";

/** Operands and options of {@linkcode lowRankGradient}. */
export interface LowRankGradientOptions extends LowRankProduct {
  /**
   * How far `a` reaches: then factors are f16 and multiplied on tensor cores. `b` saturates at
   * ±65504.
   */
  gradientScale?: GradientScale;
  /** Tile sizes and splits of the tokens, for measurements. Default: chosen by shape. */
  variant?: Partial<LowRankVariant>;
}

/**
 * Tile sizes of {@linkcode lowRankGradient}, all multiples of 4, and into how many splits the
 * tokens go.
 */
export interface LowRankVariant {
  /** Rows and columns of the output that a workgroup makes. */
  BM: number;
  BN: number;
  /** Tokens that are in workgroup memory at a time. */
  BK: number;
  /** Rows and columns that a thread makes. */
  TM: number;
  TN: number;
  splits: number;
}

/** Workgroups that fill a large GPU evenly: eight on each of the 132 multiprocessors of an H200. */
const ENOUGH_WORKGROUPS = 1056;
/** Splits beyond which adding them up costs more than they win. */
const MOST_SPLITS = 12;
/**
 * Tokens that a split has at least, so that adding partial sums does not cost more than it wins.
 */
const SHORTEST_SPLIT = 512;

/**
 * Records `out (+)= alpha · aᵀ·b` in f32, or with a `gradientScale` from f16 factors; sums are f32
 * and go in a fixed order.
 */
export function lowRankGradient(program: Program, options: LowRankGradientOptions): void {
  const { a, b, out, alpha = 1, accumulate = false } = options;
  checkShapes(options);
  const [m, n, tokens] = [a.cols, b.cols, a.matrix.rows];
  if (m === 0 || n === 0 || tokens === 0) return;
  if (options.gradientScale) {
    lowRankGradientTensor(program, options, options.gradientScale);
    return;
  }
  const { splits, ...tile } = {
    ...chooseVariant(program.device, m, n, tokens),
    ...options.variant,
  };
  const { BM, BN, BK, TM, TN } = tile;
  const threads = (BM / TM) * (BN / TN);
  const splitK = roundUp(Math.ceil(tokens / splits), BK);
  recordSplitK(program, {
    a,
    b,
    out,
    accumulate,
    splitK,
    kernel: "low_rank_gradient",
    constants: {
      ...tile,
      A_LOADS: Math.ceil(BK * BM / 4 / threads),
      B_LOADS: Math.ceil(BK * BN / 4 / threads),
      ...rightConstants(options),
    },
    bindings: rightBindings(options),
    params: { split_k: splitK, alpha },
    unit: 1,
  });
}

/** The tokens of large outputs go into few splits. */
function chooseVariant({ isFallback }: Device, m: number, n: number, tokens: number) {
  const tile = lowRankTile(m, n);
  const tiles = Math.ceil(m / tile.BM) * Math.ceil(n / tile.BN);
  const wanted = isFallback ? 1 : Math.floor(ENOUGH_WORKGROUPS / tiles);
  const splits = Math.min(wanted, MOST_SPLITS, Math.floor(tokens / SHORTEST_SPLIT));
  return { ...tile, splits: Math.max(1, splits) };
}

/**
 * The tiles of an output [m, n]: as wide as its narrow side, so that the operand of the other is
 * read once. B's gradients have few columns, those of a LoRA's A few rows. Where both sides are
 * wider than any tile's columns, the kernel that most layers use anyway.
 */
export function lowRankTile(m: number, n: number): Omit<LowRankVariant, "splits"> {
  return n <= m || m > 64 ? tileOf(n) : transposed(tileOf(m));
}

function tileOf(narrow: number): Omit<LowRankVariant, "splits"> {
  const BM = 128;
  if (narrow <= 16) return { BM, BN: 16, BK: 16, TM: 4, TN: 4 };
  if (narrow <= 32) return { BM, BN: 32, BK: 16, TM: 8, TN: 4 };
  return { BM, BN: 64, BK: 16, TM: 8, TN: 8 };
}

function transposed({ BM, BN, BK, TM, TN }: Omit<LowRankVariant, "splits">) {
  return { BM: BN, BN: BM, BK, TM: TN, TN: TM };
}

function checkShapes({ a, b, bScales, out, gradientScale }: LowRankGradientOptions): void {
  const [m, n] = [a.cols, b.cols];
  const types = [a.matrix.type, b.matrix.type, out.type];
  const right = bScales && ELEMENT_BYTES[b.matrix.type] === 1 ? b.matrix.type : "f32";
  const wanted = [gradientScale?.rowScales ? "f16" : "f32", right, "f32"];
  const inside = [a, b].every(({ matrix, column, cols }) =>
    column % (16 / ELEMENT_BYTES[matrix.type]) === 0 && column + cols <= matrix.pitch
  );
  const problem = types.some((type, i) => type !== wanted[i])
    ? `types ${types.join(", ")} are not ${wanted.join(", ")}`
    : !inside
    ? "columns must start at a multiple of 16 bytes, and lie inside their matrices"
    : bScales && bScales.length < b.matrix.rows
    ? `${bScales.length} scales of codes are too few for ${b.matrix.rows} rows`
    : a.matrix.rows !== b.matrix.rows || out.rows !== m || out.cols !== n
    ? `(${a.matrix.rows}×${m})ᵀ · ${b.matrix.rows}×${n} does not give ${out.rows}×${out.cols}`
    : null;
  if (problem) throw new RangeError(`Cannot multiply as ${problem}`);
}
