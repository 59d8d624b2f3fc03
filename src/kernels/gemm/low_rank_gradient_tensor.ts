/**
 * The gradient of a factor of low rank on tensor cores (subgroup matrices): f16 factors, f32 sums.
 * `low_rank_gradient.ts` comes here where the scale of the gradient is known.
 *
 * @module
 */

import type { Matrix, Vector } from "../../gpu/buffers.ts";
import type { Program } from "../../gpu/program.ts";
import { F16_MATRIX, supportsMatrix } from "../../gpu/subgroup_matrix.ts";
import { formatOf } from "../../numerics/formats.ts";
import type { QuantizedGradient } from "../rows/quantize.ts";
import { type LowRankProduct, rightBindings, rightConstants } from "./low_rank_product.ts";
import { recordSplitK } from "./low_rank_split.ts";

/** How far the elements of a gradient reach, so that they can be brought into the range of f16. */
export interface GradientScale {
  /** f32, one element: the power of two to multiply by. */
  power: Matrix;
  /** A power of two that it is multiplied by. Default 1. */
  powerFactor?: number;
  /** f32: the columns are divided by these first. */
  columnScales?: Vector;
  /**
   * f32 [tokens], for a gradient in f16: what its rows were multiplied by after its columns were
   * divided by theirs. The other factor's rows are multiplied by `power` over these.
   */
  rowScales?: Vector;
}

/** Tile sizes of the kernel, and the tokens that a workgroup adds up. */
export interface LowRankTensorVariant {
  /** Rows and columns of the output that a workgroup makes: multiples of 32. */
  BM: number;
  BN: number;
  /** Tokens that are in workgroup memory at a time: a multiple of 16. */
  BK: number;
  /** Tokens of a split: a multiple of BK. */
  splitK: number;
}

/**
 * Records finding the scale of a gradient from its codes' scales, for `gradientScale` of
 * `lowRankGradient`; valid until the program asks for the next one. Undefined where the device has
 * no tensor cores, or the gradient no codes.
 */
export function findGradientScale(
  program: Program,
  codes: QuantizedGradient | null,
): GradientScale | undefined {
  return codes && supportsMatrix(program.device, F16_MATRIX)
    ? recordGradientScale(program, codes)
    : undefined;
}

/** As {@linkcode findGradientScale}, on any device. */
export function recordGradientScale(program: Program, codes: QuantizedGradient): GradientScale {
  const { f16Headroom, name } = formatOf(codes.codes.type);
  if (!f16Headroom) {
    throw new RangeError(`Codes in ${name} do not tell how a gradient comes within f16`);
  }
  const power = recordPower(program, codes, f16Headroom);
  return { power, columnScales: codes.columnScales };
}

/**
 * As {@linkcode recordGradientScale}, of a gradient that is given in f16 as what its codes are
 * rounded from.
 */
export function scaleOfF16Gradient(program: Program, codes: QuantizedGradient): GradientScale {
  // The power meets the scales themselves: none of its quotients may be above 1.
  const power = recordPower(program, codes, 1);
  return { power, columnScales: codes.columnScales, rowScales: codes.scales };
}

/**
 * The same of a gradient in f16 that goes with a scale found already for its codes: by
 * {@linkcode recordGradientScale} if `isF16` is false, else by {@linkcode scaleOfF16Gradient}.
 */
export function asScaleOfF16(
  { power }: GradientScale,
  { codes, scales: rowScales }: QuantizedGradient,
  isF16: boolean,
): GradientScale {
  const { f16Headroom } = formatOf(codes.type);
  return { power, powerFactor: isF16 ? 1 : 1 / f16Headroom!, rowScales };
}

/** Records finding `headroom` times the power of two that no scale is below. */
function recordPower(
  program: Program,
  { codes, scales }: QuantizedGradient,
  headroom: number,
): Matrix {
  const power = program.scratch(1, 1, "scale of a gradient");
  const kernel = program.device.kernel("gradient_scale", { THREADS: 256 });
  program.dispatch(kernel, { scales, power }, { rows: codes.rows, headroom }, [1]);
  return power;
}

/**
 * Records `out (+)= alpha · aᵀ·b` by f16 factors with f32 sums in a fixed order. On a device
 * without subgroup matrices the fragments are emulated, which is for tests.
 *
 * @param options Checked.
 */
export function lowRankGradientTensor(
  program: Program,
  product: LowRankProduct,
  { power, powerFactor = 1, columnScales, rowScales }: GradientScale,
  variant: Partial<LowRankTensorVariant> = {},
): void {
  const { a, b, out, alpha = 1, accumulate = false } = product;
  const [m, n, tokens] = [a.cols, b.cols, a.matrix.rows];
  if (rowScales && rowScales.length < tokens) {
    throw new RangeError(`Cannot take ${rowScales.length} scales out of ${tokens} rows`);
  }
  if (columnScales && columnScales.length < a.column + m) {
    throw new RangeError(
      `Cannot divide columns ${a.column} to ${a.column + m} by ${columnScales.length} scales`,
    );
  }
  const { splitK, ...tile } = { ...chooseVariant(m, n, tokens), ...variant };
  const { BM, BN, BK } = tile;
  const loads = (width: number) => BK * (width / 8) / 128;
  recordSplitK(program, {
    a,
    b,
    out,
    accumulate,
    splitK,
    kernel: "low_rank_gradient_tensor",
    constants: {
      ...tile,
      SPLIT_K: splitK,
      A_LOADS: loads(BM),
      B_LOADS: loads(BN),
      A_TYPE: a.matrix.type,
      COLUMN_SCALES: !!columnScales,
      ...rightConstants(product),
      EMULATE: !supportsMatrix(program.device, F16_MATRIX),
    },
    bindings: {
      power,
      ...(columnScales && { column_scales: columnScales }),
      ...(rowScales && { row_scales: rowScales }),
      ...rightBindings(product),
    },
    params: { alpha, power_factor: powerFactor },
    unit: 4,
  });
}

/**
 * Workgroups that keep a large GPU busy: two on each of the 132 multiprocessors of an H200, nearly.
 */
const ENOUGH_WORKGROUPS = 256;
/**
 * Few different lengths, as each is compiled separately; shorter ones cost more to add up than they
 * win.
 */
const SPLIT_LENGTHS = [4096, 2048, 1024, 512, 256];

/**
 * As wide as the narrow side of the output, up to 128, so that the operand of the other is read
 * once.
 */
function chooseVariant(m: number, n: number, tokens: number): LowRankTensorVariant {
  const narrow = Math.min(m, n) <= 64 ? 64 : 128;
  const [BM, BN] = n <= m ? [128, narrow] : [narrow, 128];
  const tiles = Math.ceil(m / BM) * Math.ceil(n / BN);
  const enough = (splitK: number) => tiles * Math.ceil(tokens / splitK) >= ENOUGH_WORKGROUPS;
  return {
    BM,
    BN,
    BK: 32,
    splitK: SPLIT_LENGTHS.find(enough) ?? SPLIT_LENGTHS.at(-1)!,
  };
}
