/**
 * The product that gives the gradient of a factor of low rank, on any kind of core.
 *
 * @module
 */

import type { ColumnBlock, Matrix } from "../../gpu/buffers.ts";

/** Operands and options of `out (+)= alpha · aᵀ·b`. */
export interface LowRankProduct {
  /**
   * f32 [tokens, m]; or f16 where the gradient's scale has `rowScales`, from a column that is a
   * multiple of 8.
   */
  a: ColumnBlock;
  /** f32 [tokens, n], m or n small: at most 128 columns are made from one reading of `a`. */
  b: ColumnBlock;
  /** f32 [m, n] */
  out: Matrix;
  /** Factor of the product. Default 1. */
  alpha?: number;
  /** Add to what `out` holds. Default false. */
  accumulate?: boolean;
}
