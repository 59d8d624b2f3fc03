/**
 * Bindings and parameters shared by the kernels of attention; `unit` is the width of the vectors
 * that they write, and `inputUnit` of those that they read.
 *
 * @module
 */

import type { Matrix } from "../../gpu/buffers.ts";
import type { Bindings } from "../../gpu/program.ts";
import type { KernelConstants } from "../../gpu/template.ts";
import { ropeConstants } from "./rope_angles.ts";
import {
  type AttentionBackwardOptions,
  type AttentionForwardOptions,
  type AttentionInputs,
  capOf,
  scaleOf,
} from "./shapes.ts";

/** Constants, buffers and parameters of a dispatch, by their names in the kernel. */
export interface AttentionCall {
  constants: KernelConstants;
  bindings: Bindings;
  params: Record<string, number>;
}

/**
 * Those of the forward. Pitches and columns are counted in vectors: of `unit` columns where
 * something is written, of `inputUnit` where it is read.
 */
export function forwardCall(
  options: AttentionForwardOptions,
  unit: number,
  inputUnit = unit,
): AttentionCall {
  const { q, documents, output, logSumExp } = options;
  return {
    constants: { QKV: q.matrix.type, OUTPUT: output.type, ...capOf(options).constants },
    bindings: { qkv: q.matrix, documents, output, log_sum_exp: logSumExp },
    params: {
      ...inputParams(options, inputUnit),
      output_pitch: output.pitch / unit,
      statistics_pitch: logSumExp.pitch,
    },
  };
}

/** Those of both gradients, which differ in their constants. */
export interface BackwardCall extends Omit<AttentionCall, "constants"> {
  /** Those of the kernel that makes the gradient of the queries. */
  queryConstants: KernelConstants;
  /** Those of the kernel that makes the gradients of keys and values. */
  keyConstants: KernelConstants;
}

/** Those of both gradients. `delta`: what `attentionDelta` wrote. */
export function backwardCall(
  options: AttentionBackwardOptions,
  delta: Matrix,
  unit: number,
  inputUnit = unit,
): BackwardCall {
  const { q, documents, logSumExp, dOutput, rotation, dQ, dK, dV, headDim } = options;
  const constants = (queries: boolean) => ({
    // Whether gradients are turned back, and that four planes at a time.
    ...{ QKV: q.matrix.type, ROTATED: rotation !== undefined, VEC4: true },
    ...capOf(options).constants,
    ...(rotation && ropeConstants(rotation, headDim, queries)),
  });
  return {
    queryConstants: constants(true),
    keyConstants: constants(false),
    bindings: {
      qkv: q.matrix,
      d_output: dOutput,
      documents,
      log_sum_exp: logSumExp,
      delta,
      d_qkv: dQ.matrix,
      ...(rotation && { positions: rotation.positions, frequencies: rotation.frequencies }),
    },
    params: {
      ...inputParams(options, inputUnit),
      d_output_pitch: dOutput.pitch / inputUnit,
      statistics_pitch: delta.pitch,
      d_qkv_pitch: dQ.matrix.pitch / unit,
      d_qkv_columns: dQ.matrix.cols / unit,
      dq_column: dQ.column / unit,
      dk_column: dK.column / unit,
      dv_column: dV.column / unit,
    },
  };
}

function inputParams(inputs: AttentionInputs, unit: number) {
  const { q, k, v, heads, kvHeads } = inputs;
  return {
    tokens: q.matrix.rows,
    heads,
    kv_heads: kvHeads,
    qkv_pitch: q.matrix.pitch / unit,
    q_column: q.column / unit,
    k_column: k.column / unit,
    v_column: v.column / unit,
    scale: scaleOf(inputs),
    ...capOf(inputs).params,
  };
}
