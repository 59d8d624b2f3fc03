/**
 * The norms of queries and keys of a block, forward and backward.
 *
 * Their input is what the qkv layer wrote, which is kept; what attention reads is made of it, by norm
 * and rotation in one pass, in memory that all blocks share, and is made again for the backward: that
 * pass costs little beside keeping both. The input cannot be found from the output, as weights may be
 * zero, and as in f16 the rotation mixes the rounding of large components into small ones.
 *
 * @module
 */

import { asVector, type ColumnBlock, type Matrix } from "../gpu/buffers.ts";
import type { Program } from "../gpu/program.ts";
import {
  qkNorm,
  qkNormBackward,
  type QkNormOptions,
  qkNormWeightGradient,
} from "../kernels/attention/qk_norm.ts";
import type { AttentionHeads } from "../kernels/attention/shapes.ts";
import type { DenseWeight } from "../layers/method.ts";
import type { QkNormPlan } from "./plan.ts";

/** The norms of queries and of keys. */
export interface QkNorm {
  plan: QkNormPlan;
  /** The weight of queries. */
  q: DenseWeight;
  /** The weight of keys. */
  k: DenseWeight;
}

/** Records norm and rotation of q and k on the way to the same columns of `output`. */
export function qkNormForward(
  program: Program,
  norm: QkNorm,
  io: Pick<QkNormOptions, "q" | "k" | "v" | "rotation" | "output" | "rstd"> & AttentionHeads,
): void {
  qkNorm(program, { ...io, ...weightsOf(norm), eps: norm.plan.eps });
}

/** What {@linkcode qkNormGradients} reads and writes. */
export interface QkNormGradients extends AttentionHeads {
  /** The forward's input. */
  q: ColumnBlock;
  /** The forward's input. */
  k: ColumnBlock;
  /** From the forward. */
  rstd: Matrix;
  /** The gradient of what was normed, which becomes that of q and k. */
  dQkv: Matrix;
}

/** Records the gradients of the norms: of their weights, where these are trained, and of q and k. */
export function qkNormGradients(program: Program, norm: QkNorm, io: QkNormGradients): void {
  const { over } = norm.plan;
  if (norm.q.gradient && norm.k.gradient) {
    const [dQWeight, dKWeight] = [asVector(norm.q.gradient()), asVector(norm.k.gradient())];
    qkNormWeightGradient(program, { ...io, over, dQWeight, dKWeight });
  }
  qkNormBackward(program, { ...io, ...weightsOf(norm) });
}

function weightsOf({ plan: { over, weightOffset }, q, k }: QkNorm) {
  return { over, weightOffset, qWeight: asVector(q.value()), kWeight: asVector(k.value()) };
}
