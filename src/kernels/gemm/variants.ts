/**
 * Which kernel multiplies, with which tiles: a small table, measured by `bench/gemm_bench.ts`.
 *
 * @module
 */

import { type ElementType, PANEL, roundUp } from "../../gpu/buffers.ts";
import type { Device } from "../../gpu/device.ts";
import { formatOf, type NumberFormat } from "../../numerics/formats.ts";
import { type GemmKernel, kernelsFor } from "./products.ts";

/** The sizes of a product and the types of its operands. */
export interface GemmShape {
  m: number;
  n: number;
  k: number;
  aType: ElementType;
  bType: ElementType;
}

/** Compile-time sizes of a kernel. */
export interface GemmTile extends Readonly<Record<string, number>> {
  /** Rows and columns of the output that a workgroup computes. */
  BM: number;
  BN: number;
  /** Length of contraction that is in workgroup memory at a time. */
  BK: number;
}

/** A kernel and its tiles. */
export interface GemmVariant {
  kernel: GemmKernel;
  tile: GemmTile;
}

/** Words of four codes in a step of a row of int8. */
export const WORDS = PANEL.cols / 4;

/** The table. */
export const GEMM_VARIANTS = {
  /**
   * f32, by the size of the output: large tiles read operands less often, small ones leave less of
   * a GPU idle.
   */
  large: f32Variant(128, 64, 8),
  medium: f32Variant(64, 64, 8),
  small: f32Variant(32, 32, 4),
  /** Packed f16. */
  half: halfVariant(128, 64),
  /** Tensor cores; narrow outputs leave fewer columns of a tile unused. */
  tensor: tensorVariant(128, 128),
  tensorNarrow: tensorVariant(128, 64),
  /** int8 on tensor cores, by how many workgroups the output gives work. */
  int8Tensor: int8TensorVariant(128, 128),
  int8TensorNarrow: int8TensorVariant(128, 64),
  int8TensorSmall: int8TensorVariant(64, 64),
  /** int8 without tensor cores: large outputs, and small ones. */
  int8: int8Variant(64, 64, 8),
  int8Small: int8Variant(32, 32, 4),
  /** The same on the CPU, where what is written out costs compile time and wins nothing. */
  int8Fallback: int8Variant(32, 32, 4, { atOnce: 1 }),
  /** int8 of one row, as generation has, and of few. */
  int8Row: int8RowsVariant(1),
  int8Rows: int8RowsVariant(4),
} as const;

/** Multiples that packed operands are filled up to along k: of every kernel's step. */
export const PACKED_STEP = 64;

/** Rows and columns of the output from which packing the operands pays. */
const WORTH_PACKING = 64;

/**
 * The fastest kernel for a product on a device, and its tiles.
 *
 * @throws {RangeError} where no kernel multiplies operands of these types.
 */
export function chooseVariant(device: Device, shape: GemmShape): GemmVariant {
  const { m, n, k, aType, bType } = shape;
  const [aFormat, bFormat] = [formatOf(aType), formatOf(bType)];
  const kernels = kernelsFor(device, aFormat, bFormat);
  if (kernels.length === 0) {
    throw new RangeError(
      `Cannot multiply ${aType} by ${bType} as no kernel does: quantise both to int8, or neither`,
    );
  }
  if (aFormat.layout === "panels") return chooseInt8(device, kernels[0], shape);
  const packs = !device.isFallback && Math.min(m, n, k) >= WORTH_PACKING;
  const [kernel] = packs ? kernels : ["gemm"];
  if (kernel === "gemm_tensor") {
    return n > 64 ? GEMM_VARIANTS.tensor : GEMM_VARIANTS.tensorNarrow;
  }
  if (kernel === "gemm_f16") return GEMM_VARIANTS.half;
  if (m * n >= 512 * 512) return GEMM_VARIANTS.large;
  return Math.min(m, n) >= 64 ? GEMM_VARIANTS.medium : GEMM_VARIANTS.small;
}

/** Rows up to which tiles would compute mostly what is thrown away. */
const FEW_ROWS = 16;

/**
 * int8: the largest tiles that still give every core of a large GPU work.
 */
function chooseInt8({ isFallback }: Device, kernel: GemmKernel, { m, n }: GemmShape): GemmVariant {
  const { int8Tensor, int8TensorNarrow, int8TensorSmall } = GEMM_VARIANTS;
  const { int8, int8Small, int8Row, int8Rows, int8Fallback } = GEMM_VARIANTS;
  if (m <= FEW_ROWS) return m === 1 ? int8Row : int8Rows;
  if (isFallback) return int8Fallback;
  const perCore = ({ tile: { BM, BN } }: GemmVariant) =>
    Math.ceil(m / BM) * Math.ceil(n / BN) / LARGE_GPU_CORES;
  if (kernel === "gemm_int8") return perCore(int8) >= 8 ? int8 : int8Small;
  return [int8Tensor, int8TensorNarrow].find((tile) => perCore(tile) >= 2) ?? int8TensorSmall;
}

/** Multiprocessors of an H100 or H200. */
const LARGE_GPU_CORES = 132;

/** Workgroups below which a product is split along k, to give every core of a large GPU work. */
const ENOUGH_WORKGROUPS = {
  gemm: 128,
  gemm_f16: 256,
  gemm_tensor: 256,
  // Partial sums in f32 would not be exact.
  gemm_int8: 0,
  gemm_int8_tensor: 0,
  gemm_int8_rows: 0,
};
/**
 * Contraction steps that a split keeps at least, so that partial sums do not cost more than they
 * win.
 */
const SHORTEST_SPLIT = 512;

/**
 * Length of the splits that the contraction is cut into, a multiple of {@linkcode PACKED_STEP}: all
 * of it where the tiles alone fill the GPU, or where the product must stay `whole`.
 */
export function splitKLength(
  workgroups: number,
  k: number,
  { kernel }: GemmVariant,
  whole: boolean,
): number {
  const wanted = Math.floor(ENOUGH_WORKGROUPS[kernel] / workgroups);
  const splits = whole ? 1 : Math.max(1, Math.min(wanted, Math.floor(k / SHORTEST_SPLIT), 16));
  return roundUp(Math.max(1, Math.ceil(k / splits)), PACKED_STEP);
}

/**
 * f32 tiles with `outputs` × `outputs` values per thread, and the 4 × 4 blocks that a thread
 * fetches of each operand in a step.
 */
function f32Variant(BM: number, BN: number, outputs: number): GemmVariant {
  const BK = 16;
  const threads = (BM / outputs) * (BN / outputs);
  const loads = (rows: number) => Math.ceil(rows * BK / 16 / threads);
  return {
    kernel: "gemm",
    tile: { BM, BN, BK, TM: outputs, TN: outputs, A_LOADS: loads(BM), B_LOADS: loads(BN) },
  };
}

/**
 * Packed f16 tiles with 8 × 8 values per thread. `promote`: steps of 32 after which the f16 sums
 * are joined to the f32 ones. More than 4 could overflow (pack.ts, row_scale.wgsl); fewer are
 * slower, and more exact (docs/EXPERIMENTS.md).
 */
export function halfVariant(BM: number, BN: number, promote: 1 | 2 | 4 = 4): GemmVariant {
  const BK = 32;
  const threads = (BM / 8) * (BN / 8);
  const loads = (width: number) => (BK / 2) * (width / 4) / threads;
  return {
    kernel: "gemm_f16",
    tile: {
      BM,
      BN,
      BK,
      TM: 8,
      TN: 8,
      A_LOADS: loads(BM),
      B_LOADS: loads(BN),
      PROMOTE: promote,
      BAND: 16,
    },
  };
}

/** Tiles of 2 × 2 subgroups. `band`: rows of tiles that are made together. */
export function tensorVariant(BM: number, BN: number, band: number = 22): GemmVariant {
  return { kernel: "gemm_tensor", tile: { BM, BN, BK: 32, BAND: band } };
}

/**
 * Vectors of 16 bytes that a thread of the kernel for tensor cores fetches of each operand in a
 * step.
 */
export function fragmentLoads({ BM, BN, BK }: GemmTile, { bytes }: NumberFormat) {
  const loads = (width: number) => BK * width * bytes / 16 / 128;
  return { A_LOADS: loads(BM), B_LOADS: loads(BN) };
}

/**
 * int8 tiles for tensor cores. `subgroups`: those of a workgroup, along m and along n. `band`: rows
 * of tiles that are made together.
 */
export function int8TensorVariant(
  BM: number,
  BN: number,
  { subgroups: [SUBGROUPS_M, SUBGROUPS_N] = [2, 2], band: BAND = 16 }: {
    subgroups?: readonly [number, number];
    band?: number;
  } = {},
): GemmVariant {
  const loads = (rows: number) => rows * PANEL.cols / 16 / (32 * SUBGROUPS_M * SUBGROUPS_N);
  return {
    kernel: "gemm_int8_tensor",
    tile: {
      BM,
      BN,
      BK: PANEL.cols,
      SUBGROUPS_M,
      SUBGROUPS_N,
      A_LOADS: loads(BM),
      B_LOADS: loads(BN),
      BAND,
    },
  };
}

/**
 * int8 tiles for packed dot products, with `outputs` × `outputs` values per thread. `atOnce`: words
 * of a step whose products are written out; fewer compile faster.
 */
export function int8Variant(
  BM: number,
  BN: number,
  outputs: number,
  { atOnce: AT_ONCE = WORDS, band: BAND = 16 }: { atOnce?: number; band?: number } = {},
): GemmVariant {
  const threads = (BM / outputs) * (BN / outputs);
  const loads = (rows: number) => Math.ceil(rows / threads);
  return {
    kernel: "gemm_int8",
    tile: {
      BM,
      BN,
      BK: PANEL.cols,
      TM: outputs,
      TN: outputs,
      A_LOADS: loads(BM),
      B_LOADS: loads(BN),
      AT_ONCE,
      BAND,
    },
  };
}

/** int8 of `BM` rows at a time: 8 columns of the output by 8 groups of steps to a workgroup. */
function int8RowsVariant(BM: number): GemmVariant {
  return { kernel: "gemm_int8_rows", tile: { BM, BN: 8, BK: PANEL.cols, GROUPS: 8 } };
}
