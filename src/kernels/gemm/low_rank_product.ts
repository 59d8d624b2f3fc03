/**
 * The product that gives the gradient of a factor of low rank, on any kind of core.
 *
 * @module
 */

import type { ColumnBlock, Matrix, Vector } from "../../gpu/buffers.ts";
import type { Bindings } from "../../gpu/program.ts";
import type { KernelConstants } from "../../gpu/template.ts";
import { codeConstants } from "../codes.ts";

/** Operands and options of `out (+)= alpha · aᵀ·b`. */
export interface LowRankProduct {
  /**
   * f32 [tokens, m]; or f16 where the gradient's scale has `rowScales`, from a column that is a
   * multiple of 8.
   */
  a: ColumnBlock;
  /**
   * [tokens, n], m or n small: at most 128 columns are made from one reading of `a`. f32; or codes of
   * one byte with `bScales`, from a column that is a multiple of 16.
   */
  b: ColumnBlock;
  /** f32 [tokens]: what the rows of codes were multiplied by. */
  bScales?: Vector;
  /** f32 [m, n] */
  out: Matrix;
  /** Factor of the product. Default 1. */
  alpha?: number;
  /** Add to what `out` holds. Default false. */
  accumulate?: boolean;
}

/** The constants of `wgsl/gemm/low_rank_right.wgsl`. */
export function rightConstants({ b, bScales }: LowRankProduct): KernelConstants {
  return { B_CODES: !!bScales, ...(bScales && codeConstants(b.matrix.type)) };
}

/** Its bindings besides `b`. */
export function rightBindings({ bScales }: LowRankProduct): Bindings {
  return bScales ? { b_scales: bScales } : {};
}
