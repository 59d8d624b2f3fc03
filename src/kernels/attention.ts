/**
 * Causal grouped-query attention over a flat stream of packed documents, forward and backward.
 *
 * @module
 */

import type { BufferView, ColumnBlock, Matrix } from "../gpu/buffers.ts";
import type { Device } from "../gpu/device.ts";
import { linearGrid, type Program } from "../gpu/program.ts";
import type { KernelConstants } from "../gpu/template.ts";
import { type AttentionHeads, checkBlock, checkHeads } from "./attention_shapes.ts";
import { expectMatrix } from "./shapes.ts";

/** Elements of delta that a workgroup makes. */
const DELTA_ITEMS = 16;

/** What both directions of attention read. */
export interface AttentionInputs extends AttentionHeads {
  /** f32 [tokens, heads · headDim], rotated. Blocks start at an even column. */
  q: ColumnBlock;
  /** f32 [tokens, kvHeads · headDim], rotated. */
  k: ColumnBlock;
  /** f32 [tokens, kvHeads · headDim]. */
  v: ColumnBlock;
  /**
   * u32 [tokens, 2]: start and end (exclusive) of each token's document, neither ever decreasing.
   * Token t attends to the tokens from its start to t.
   */
  documents: BufferView;
}

/** What {@linkcode attentionForward} reads and writes. */
export interface AttentionForwardOptions extends AttentionInputs {
  /** Receives f32 [tokens, heads · headDim]. */
  output: Matrix;
  /** Receives f32 [tokens, heads]: log Σ exp of each query's scaled scores, for the backward. */
  logSumExp: Matrix;
}

/** Records `output = softmax(q·kᵀ / √headDim) · v` over the keys that each query sees. */
export function attentionForward(program: Program, options: AttentionForwardOptions): void {
  const { q, k, v, documents, output, logSumExp, heads, headDim } = options;
  const tokens = checkInputs("attentionForward", options);
  expectMatrix("attentionForward", "output", output, { rows: tokens, cols: heads * headDim });
  expectMatrix("attentionForward", "logSumExp", logSumExp, { rows: tokens, cols: heads });
  const tile = tileFor(program.device, headDim, 1);
  program.dispatch(
    program.device.kernel("attention_forward", tile.constants),
    { q: q.matrix, k: k.matrix, v: v.matrix, documents, output, log_sum_exp: logSumExp },
    {
      ...inputParams(options, tokens),
      output_pitch: output.pitch / 2,
      statistics_pitch: logSumExp.pitch,
    },
    [Math.ceil(tokens / tile.rows), heads],
  );
}

/** What {@linkcode attentionBackward} reads and writes. */
export interface AttentionBackwardOptions extends AttentionInputs {
  /** What the forward wrote, f32 [tokens, heads · headDim]. */
  output: Matrix;
  /** What the forward wrote, f32 [tokens, heads]. */
  logSumExp: Matrix;
  /** Gradient of the output, f32 [tokens, heads · headDim]. */
  dOutput: Matrix;
  /** Receives the gradient of q. dQ, dK and dV are columns of one matrix, overwritten. */
  dQ: ColumnBlock;
  /** Receives the gradient of k. */
  dK: ColumnBlock;
  /** Receives the gradient of v. */
  dV: ColumnBlock;
}

/**
 * Records the gradients of {@linkcode attentionForward}: three dispatches, in f32, each element written by
 * one workgroup in a fixed order. Columns of the gradients' matrix that belong to no head are not touched,
 * except those up to the pitch, which become zero.
 */
export function attentionBackward(program: Program, options: AttentionBackwardOptions): void {
  const { q, k, v, documents, output, logSumExp, dOutput, dQ, dK, dV, heads, kvHeads, headDim } =
    options;
  const tokens = checkInputs("attentionBackward", options);
  const wide = { rows: tokens, cols: heads * headDim };
  expectMatrix("attentionBackward", "output", output, wide);
  expectMatrix("attentionBackward", "dOutput", dOutput, wide);
  expectMatrix("attentionBackward", "logSumExp", logSumExp, { rows: tokens, cols: heads });
  const gradients = [["dQ", dQ, heads], ["dK", dK, kvHeads], ["dV", dV, kvHeads]] as const;
  for (const [name, block, count] of gradients) {
    checkBlock("attentionBackward", name, block, tokens, count * headDim);
    if (block.matrix.buffer !== dQ.matrix.buffer || block.matrix.offset !== dQ.matrix.offset) {
      throw new RangeError(`attentionBackward: ${name} is in another matrix than dQ`);
    }
  }
  if (dQ.matrix.cols % 2) {
    throw new RangeError(
      `attentionBackward: the gradients' matrix has ${dQ.matrix.cols} columns, an odd number`,
    );
  }
  const delta = program.scratch(tokens, heads, "attention delta");
  program.dispatch(
    program.device.kernel("attention_backward_delta"),
    { output, d_output: dOutput, delta },
    {
      tokens,
      heads,
      head_pairs: headDim / 2,
      output_pitch: output.pitch / 2,
      d_output_pitch: dOutput.pitch / 2,
      statistics_pitch: delta.pitch,
    },
    linearGrid(tokens * delta.pitch, DELTA_ITEMS),
  );
  const bindings = {
    q: q.matrix,
    k: k.matrix,
    v: v.matrix,
    d_output: dOutput,
    documents,
    log_sum_exp: logSumExp,
    delta,
    d_qkv: dQ.matrix,
  };
  const params = {
    ...inputParams(options, tokens),
    d_output_pitch: dOutput.pitch / 2,
    statistics_pitch: delta.pitch,
    d_qkv_pitch: dQ.matrix.pitch / 2,
    d_qkv_columns: dQ.matrix.cols / 2,
    dq_column: dQ.column / 2,
    dk_column: dK.column / 2,
    dv_column: dV.column / 2,
  };
  const queries = tileFor(program.device, headDim, 1);
  program.dispatch(
    program.device.kernel("attention_backward_queries", queries.constants),
    bindings,
    params,
    [Math.ceil(tokens / queries.rows), heads],
  );
  const keys = tileFor(program.device, headDim, 2);
  program.dispatch(
    program.device.kernel("attention_backward_keys_values", keys.constants),
    bindings,
    params,
    [Math.ceil(tokens / keys.rows), kvHeads],
  );
}

/**
 * The tile of `attention_tiles.wgsl` for a head size: its constants and the rows it has.
 *
 * @param resultSets arrays [rows, headDim] that a kernel accumulates in registers; with two of them and
 * wide heads a thread takes 4 rows in place of 8, to stay clear of spilling
 */
function tileFor(
  device: Device,
  headDim: number,
  resultSets: number,
): { constants: KernelConstants; rows: number } {
  const COLUMN_THREADS = headDim <= 16 ? 4 : headDim <= 32 ? 8 : 16;
  const DIM_VECTORS = headDim <= 64 ? 1 : 2;
  const ROW_VECTORS = DIM_VECTORS * resultSets > 2 ? 1 : 2;
  const LEFT_LOADS = Math.ceil(8 * ROW_VECTORS / COLUMN_THREADS);
  // A CPU adapter spends seconds on compiling every unrolled step and gains nothing from it.
  const UNROLL = device.info.isFallbackAdapter ? 2 : 16;
  return {
    constants: { COLUMN_THREADS, DIM_VECTORS, ROW_VECTORS, LEFT_LOADS, UNROLL },
    rows: 32 * ROW_VECTORS,
  };
}

function inputParams({ q, k, v, heads, kvHeads, headDim }: AttentionInputs, tokens: number) {
  return {
    tokens,
    heads,
    kv_heads: kvHeads,
    head_pairs: headDim / 2,
    q_pitch: q.matrix.pitch / 2,
    q_column: q.column / 2,
    k_pitch: k.matrix.pitch / 2,
    k_column: k.column / 2,
    v_pitch: v.matrix.pitch / 2,
    v_column: v.column / 2,
    scale: 1 / Math.sqrt(headDim),
  };
}

/** Checks heads, q, k, v and documents; returns the number of tokens. */
function checkInputs(kernel: string, inputs: AttentionInputs): number {
  const { q, k, v, documents, heads, kvHeads, headDim } = inputs;
  checkHeads(kernel, inputs);
  const tokens = q.matrix.rows;
  checkBlock(kernel, "q", q, tokens, heads * headDim);
  checkBlock(kernel, "k", k, tokens, kvHeads * headDim);
  checkBlock(kernel, "v", v, tokens, kvHeads * headDim);
  if (documents.size < 8 * tokens) {
    throw new RangeError(
      `${kernel}: documents has ${documents.size} bytes, not 8 for each of ${tokens} tokens`,
    );
  }
  return tokens;
}
