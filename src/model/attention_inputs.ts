/**
 * What stands between the qkv layer of a block and attention: norms of queries and keys where the
 * plan has them, and rotation; forward and backward.
 *
 * Without norms q and k are rotated in place, and attention's backward rotates their gradients back:
 * there is nothing else to do. With norms the output of the qkv layer is kept, as the gradient of a
 * norm needs its input. What attention reads is made of it by one pass, in memory that all blocks
 * share (`rotated`), and made again for the backward: that pass costs little beside keeping both. The
 * input cannot be found from the output: weights may be zero, and in f16 the rotation mixes the
 * rounding of large components into small ones.
 *
 * @module
 */

import { asVector, type ColumnBlock, columnsOf, type Matrix } from "../gpu/buffers.ts";
import type { Program } from "../gpu/program.ts";
import { qkNorm } from "../kernels/attention/qk_norm.ts";
import { qkNormBackward, qkNormWeightGradient } from "../kernels/attention/qk_norm_backward.ts";
import { copyColumns } from "../kernels/rows/columns.ts";
import { rope } from "../kernels/attention/rope.ts";
import type { RopeAngles } from "../kernels/attention/rope_angles.ts";
import type { AttentionHeads, AttentionScores } from "../kernels/attention/shapes.ts";
import type { DenseWeight } from "../layers/method.ts";
import type { StoredVector } from "../layers/named_dense.ts";
import type { Activations } from "./activations.ts";
import { keyValueColumns, normedHeads, qkvColumns as placesOfQkv } from "./block_specs.ts";
import { headOrder, rowIn } from "./head_order.ts";
import type { AttentionLayerPlan, AttentionPlan, LayerPlan, QkNormPlan } from "./plan.ts";
import { type Rotation, scoreScale } from "./rope_buffers.ts";
import type { TokenBuffers } from "./token_buffers.ts";

/** What of a block stands there. */
interface InputLayers {
  plan: LayerPlan;
  qkNorm: QkNorm | null;
  rotation: Rotation | null;
}

/** What of a pass it works on. */
interface InputPass {
  program: Program;
  activations: Activations;
  tokens: TokenBuffers;
  rows: number;
}

/** The norms of queries and of keys of a block. */
export interface QkNorm {
  plan: QkNormPlan;
  /** The weight of queries. */
  q: DenseWeight;
  /** The weight of keys; null where these are those of another layer. */
  k: DenseWeight | null;
}

/**
 * Makes the norms that a plan asks for, their weights by `make`, a row of `cols` each. Their elements
 * are ordered as the components of q and k are: see `head_order.ts`.
 */
export function makeQkNorm(
  attention: AttentionPlan | null,
  make: (name: string, cols: number, stored?: StoredVector) => DenseWeight,
): QkNorm | null {
  if (!attention?.qkNorm) return null;
  const { qkNorm: plan, heads, kvHeads, headDim } = attention;
  const head = headOrder(attention);
  const weight = (name: string, headCount: number) => {
    const count = plan.over === "head" ? 1 : headCount;
    const order = head && Uint32Array.from({ length: count * headDim }, (_, i) => rowIn(head, i));
    return make(name, count * headDim, order ? { order } : undefined);
  };
  const shares = attention.sharedWith !== undefined;
  return {
    plan,
    q: weight(plan.tensors.q, heads),
    k: shares ? null : weight(plan.tensors.k, kvHeads),
  };
}

/** The columns of a merged matrix that are q, k and v, and what attention makes of them. */
export interface QkvColumns extends AttentionHeads, AttentionScores {
  q: ColumnBlock;
  k: ColumnBlock;
  v: ColumnBlock;
  /** How many tokens a token sees, itself included; null for all before it. */
  window: number | null;
}

/** The columns of `merged`, which is laid out as the output of the qkv layer. */
export function qkvColumns({ plan }: Pick<InputLayers, "plan">, merged: Matrix): QkvColumns {
  const attention = plan.attention!;
  const [q, k, v] = placesOfQkv(attention)
    .map(({ start, rows }) => columnsOf(merged, start, rows));
  const { heads, kvHeads, headDim, softCap, window } = attention;
  const scale = scoreScale(attention);
  return { q, k, v, heads, kvHeads, headDim, scale, softCap, window };
}

/** By what the queries and keys of a block are turned. */
export function anglesOf(
  { rotation }: Pick<InputLayers, "rotation">,
  { turns }: TokenBuffers,
): RopeAngles | null {
  return rotation && { ...rotation, positions: turns };
}

/** Records the way from activation `qkv` of a layer to what attention reads; returns that. */
export function attentionInputs(pass: InputPass, block: InputLayers, layer: number): QkvColumns {
  const { program, activations, rows, tokens } = pass;
  const { qkNorm: norm } = block;
  const rotation = anglesOf(block, tokens);
  const qkv = qkvColumns(block, activations.get("qkv", rows, layer));
  if (norm) {
    const output = activations.get("rotated", rows, layer);
    const rstd = activations.mode.training ? activations.get("qkRstd", rows, layer) : null;
    const { eps } = norm.plan;
    const heads = normedHeads(block.plan as AttentionLayerPlan);
    qkNorm(program, {
      ...normedColumns(qkv, heads),
      ...weightsOf(norm),
      ...heads,
      eps,
      rotation,
      output,
      rstd,
    });
    const attended = qkvColumns(block, output);
    shareKeyValues(pass, block, layer, attended);
    return attended;
  }
  const { q: { matrix }, k: { column: keyColumn }, heads, kvHeads, headDim } = qkv;
  if (rotation) rope(program, { qkv: matrix, keyColumn, heads, kvHeads, headDim, ...rotation });
  return qkv;
}

/**
 * What attention read, for its backward, which follows; made again where other blocks have overwritten
 * it. With checkpointing this block's forward has just been recorded.
 */
export function attentionInputsAgain(
  pass: InputPass,
  block: InputLayers,
  layer: number,
): QkvColumns {
  const { activations, rows } = pass;
  if (!block.qkNorm) return qkvColumns(block, activations.get("qkv", rows, layer));
  if (!activations.mode.checkpointing) return attentionInputs(pass, block, layer);
  return qkvColumns(block, activations.get("rotated", rows, layer));
}

/**
 * Records the gradients of the norms: of their weights, where these are trained, and of q, k and v.
 * Activation `dQkv` holds the gradient before rotation.
 *
 * @returns that of the output of the qkv layer.
 */
export function attentionInputGradients(
  pass: InputPass,
  block: InputLayers,
  layer: number,
): Matrix {
  const { qkNorm: norm } = block;
  const { program, activations, rows } = pass;
  const dQkv = activations.get("dQkv", rows, layer);
  if (!norm) return dQkv;
  shareGradients(pass, block, layer, qkvColumns(block, dQkv));
  const heads = normedHeads(block.plan as AttentionLayerPlan);
  const io = {
    ...normedColumns(qkvColumns(block, activations.get("qkv", rows, layer)), heads),
    ...heads,
    rstd: activations.get("qkRstd", rows, layer),
    dQkv,
  };
  if (norm.q.gradient) {
    const { over } = norm.plan;
    const dQWeight = asVector(norm.q.gradient());
    const dKWeight = norm.k?.gradient ? asVector(norm.k.gradient()) : undefined;
    qkNormWeightGradient(program, { ...io, over, dQWeight, dKWeight });
  }
  const out = activations.find("dProjected", rows, layer);
  qkNormBackward(program, { ...io, ...weightsOf(norm), ...(out && { out }) });
  return out ?? dQkv;
}

/** Records clearing the gradients of the keys and values that several layers attend to. */
export function clearSharedGradients({ program, activations, rows }: InputPass, layers: number) {
  for (let layer = 0; layer < layers; layer++) {
    const gradients = activations.find("dKeyValues", rows, layer);
    if (gradients) program.clear(gradients);
  }
}

/** The columns that norms take: keys and values of another layer are none of them. */
function normedColumns(qkv: QkvColumns, { kvHeads }: { kvHeads: number }): QkvColumns {
  if (kvHeads > 0) return qkv;
  const none = columnsOf(qkv.q.matrix, 0, 0);
  return { ...qkv, k: none, v: none };
}

/** The columns of keys and values in an activation of the layer that other layers share them with. */
function sharedColumns(
  { activations, rows }: InputPass,
  { plan }: InputLayers,
  name: "keyValues" | "dKeyValues",
  layer: number,
): ColumnBlock[] | null {
  const attention = plan.attention!;
  const matrix = activations.find(name, rows, attention.sharedWith ?? layer);
  return matrix &&
    keyValueColumns(attention).map(({ start, rows }) => columnsOf(matrix, start, rows));
}

/** Records keeping keys and values for other layers, or taking them from the one that has them. */
function shareKeyValues(
  pass: InputPass,
  block: InputLayers,
  layer: number,
  { k, v }: QkvColumns,
): void {
  const kept = sharedColumns(pass, block, "keyValues", layer);
  const takes = block.plan.attention!.sharedWith !== undefined;
  kept?.forEach((column, i) => {
    const [from, to] = takes ? [column, [k, v][i]] : [[k, v][i], column];
    copyColumns(pass.program, { from, to });
  });
}

/** Records the same of their gradients: those of all layers add up. */
function shareGradients(
  pass: InputPass,
  block: InputLayers,
  layer: number,
  { k, v }: QkvColumns,
): void {
  const kept = sharedColumns(pass, block, "dKeyValues", layer);
  const takes = block.plan.attention!.sharedWith !== undefined;
  kept?.forEach((column, i) => {
    const [from, to] = takes ? [[k, v][i], column] : [column, [k, v][i]];
    copyColumns(pass.program, { from, to, accumulate: true });
  });
}

function weightsOf({ plan: { over, weightOffset }, q, k }: QkNorm) {
  return {
    over,
    weightOffset,
    qWeight: asVector(q.value()),
    kWeight: k ? asVector(k.value()) : undefined,
  };
}
