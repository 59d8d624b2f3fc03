/**
 * Causal grouped-query attention over a flat stream of packed documents, forward and backward.
 *
 * @module
 */

import type { Device } from "../../gpu/device.ts";
import type { Program } from "../../gpu/program.ts";
import type { KernelConstants } from "../../gpu/template.ts";
import { attentionDelta } from "./delta.ts";
import { attentionHalfBackward, attentionHalfForward, suitsHalfAttention } from "./half.ts";
import { attentionTensorBackward, attentionTensorForward, suitsTensorAttention } from "./tensor.ts";
import { backwardCall, forwardCall } from "./params.ts";
import {
  type AttentionBackwardOptions,
  type AttentionForwardOptions,
  checkBlock,
  checkInputs,
  checkOneMatrix,
  QKV_TYPES,
} from "./shapes.ts";
import { checkAngles } from "./rope_angles.ts";
import { expectMatrix } from "../shapes.ts";

/**
 * Records `output = softmax(scale · q·kᵀ) · v` over the keys that each query sees: on tensor
 * cores with q, k, v and probabilities rounded to f16 where the device has them and heads are
 * multiples of 16; else, for q, k and v in f16, in packed f16 where `suitsHalfAttention` says so;
 * else in f32.
 */
export function attentionForward(program: Program, options: AttentionForwardOptions): void {
  const { output, logSumExp, heads, headDim } = options;
  const tokens = checkInputs("attentionForward", options);
  const wide = { rows: tokens, cols: heads * headDim };
  expectMatrix("attentionForward", "output", output, { ...wide, types: QKV_TYPES });
  expectMatrix("attentionForward", "logSumExp", logSumExp, { rows: tokens, cols: heads });
  if (suitsTensorAttention(program.device, options)) {
    attentionTensorForward(program, options);
    return;
  }
  if (suitsHalfAttention(program.device, options)) {
    attentionHalfForward(program, options);
    return;
  }
  const tile = tileFor(program.device, headDim, 1);
  const { constants, bindings, params } = forwardCall(options, 2);
  program.dispatch(
    program.device.kernel("attention_forward", { ...tile.constants, ...constants }),
    bindings,
    { ...params, head_pairs: headDim / 2, parts: tile.parts },
    [Math.ceil(tokens / tile.rows), heads],
  );
}

/**
 * Records the gradients of {@linkcode attentionForward}, and of `rope` before it if its `rotation`
 * is given, in the same arithmetic, each element written by one workgroup in a fixed order. Columns
 * of the gradients' matrix that belong to no head are not touched, except those up to the pitch,
 * which become zero.
 */
export function attentionBackward(program: Program, options: AttentionBackwardOptions): void {
  const { output, logSumExp, dOutput, rotation, dQ, dK, dV, heads, kvHeads, headDim } = options;
  const tokens = checkInputs("attentionBackward", options);
  const wide = { rows: tokens, cols: heads * headDim };
  expectMatrix("attentionBackward", "output", output, { ...wide, types: QKV_TYPES });
  expectMatrix("attentionBackward", "dOutput", dOutput, wide);
  expectMatrix("attentionBackward", "logSumExp", logSumExp, { rows: tokens, cols: heads });
  const gradients = [["dQ", dQ, heads], ["dK", dK, kvHeads], ["dV", dV, kvHeads]] as const;
  for (const [name, block, count] of gradients) {
    checkBlock("attentionBackward", name, block, tokens, count * headDim);
  }
  checkOneMatrix("attentionBackward", { dQ, dK, dV });
  if (rotation) checkAngles("attentionBackward", rotation, tokens, headDim);
  if (dQ.matrix.cols % 2) {
    throw new RangeError(
      `attentionBackward: the gradients' matrix has ${dQ.matrix.cols} columns, an odd number`,
    );
  }
  if (suitsTensorAttention(program.device, options)) {
    attentionTensorBackward(program, options);
    return;
  }
  if (suitsHalfAttention(program.device, options)) {
    attentionHalfBackward(program, options);
    return;
  }
  const delta = program.scratch(tokens, heads, "attention delta");
  attentionDelta(program, options, delta);
  const call = backwardCall(options, delta, 2);
  const queries = tileFor(program.device, headDim, 1);
  const params = { ...call.params, head_pairs: headDim / 2, parts: queries.parts };
  program.dispatch(
    program.device.kernel("attention_backward_queries", {
      ...queries.constants,
      ...call.queryConstants,
    }),
    call.bindings,
    params,
    [Math.ceil(tokens / queries.rows), heads],
  );
  const keys = tileFor(program.device, headDim, 2);
  program.dispatch(
    program.device.kernel("attention_backward_keys_values", {
      ...keys.constants,
      ...call.keyConstants,
    }),
    call.bindings,
    params,
    [Math.ceil(tokens / keys.rows), kvHeads],
  );
}

/** Threads that share a row of a tile of `attention_tiles.wgsl`; each has 4 of its columns. */
export function columnThreads(headDim: number): number {
  return headDim <= 16 ? 4 : headDim <= 32 ? 8 : 16;
}

/** Queries of a workgroup of the forward in f32. */
export function forwardRows(headDim: number): number {
  return 32 * rowVectors(headDim, 1);
}

/** vec4s of dims of a head that a thread has, and the groups that they are combined in. */
function dimVectors(headDim: number): { all: number; groups: number } {
  const all = Math.ceil(headDim / 64);
  if (all > 4) return { all: 8, groups: 4 };
  return { all, groups: all > 3 ? 2 : 1 };
}

function rowVectors(headDim: number, resultSets: number): number {
  return dimVectors(headDim).all * resultSets > 2 ? 1 : 2;
}

/**
 * The tile of `attention_tiles.wgsl` for a head size: its constants, the rows it has, and the parts
 * of its 16 slices.
 *
 * @param resultSets arrays [rows, headDim] that a kernel accumulates in registers; with two of them
 * and wide heads, or heads over 128, a thread takes 4 rows in place of 8, to stay clear of spilling
 */
function tileFor(
  device: Device,
  headDim: number,
  resultSets: number,
): { constants: KernelConstants; rows: number; parts: number } {
  const COLUMN_THREADS = columnThreads(headDim);
  const { all: DIM_VECTORS, groups: DIM_GROUPS } = dimVectors(headDim);
  const GROUP_VECTORS = DIM_VECTORS / DIM_GROUPS;
  const ROW_VECTORS = rowVectors(headDim, resultSets);
  const LEFT_LOADS = Math.ceil(8 * ROW_VECTORS / COLUMN_THREADS);
  const UNROLL = device.tuning.attentionUnroll;
  return {
    constants: {
      COLUMN_THREADS,
      DIM_VECTORS,
      DIM_GROUPS,
      GROUP_VECTORS,
      ROW_VECTORS,
      LEFT_LOADS,
      UNROLL,
    },
    rows: 32 * ROW_VECTORS,
    parts: 16 / UNROLL,
  };
}
