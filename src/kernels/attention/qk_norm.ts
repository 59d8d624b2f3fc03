/**
 * RMSNorm of queries and keys between their projections and attention, together with their rotation,
 * and its gradients.
 *
 * @module
 */

import type { Matrix, Vector } from "../../gpu/buffers.ts";
import { ELEMENT_BYTES } from "../../gpu/buffers.ts";
import { linearGrid, type Program } from "../../gpu/program.ts";
import { expectMatrix, expectVector } from "../shapes.ts";
import { rotatesF16 } from "./rope.ts";
import { checkAngles, type RopeAngles, ropeConstants } from "./rope_angles.ts";
import {
  type AttentionHeads,
  checkBlock,
  checkHeads,
  checkOneMatrix,
  QKV_TYPES,
} from "./shapes.ts";
import type { AttentionInputs } from "./shapes.ts";

/** Threads of a workgroup, and of a row at most. */
const THREADS = { head: 128, width: 256 } as const;

/** Threads that share a head at most: neighbours that read whole stretches of memory. */
const HEAD_THREADS = 32;

/** The norms of queries and keys. */
export interface QkNormWeights {
  /** What is a row: a head by itself, or all heads of a token. */
  over: "head" | "width";
  /** f32 [headDim], or over the width [heads · headDim]. */
  qWeight: Vector;
  /** f32 [headDim], or over the width [kvHeads · headDim]. */
  kWeight: Vector;
  /** 1 where rows are multiplied by 1 + weight. Default 0. */
  weightOffset?: 0 | 1;
}

/** Operands and options of {@linkcode qkNorm}. */
export interface QkNormOptions
  extends AttentionHeads, QkNormWeights, Pick<AttentionInputs, "q" | "k" | "v"> {
  /** Added to the mean square. */
  eps: number;
  /** The angles by which queries and keys are rotated then; null for not at all. */
  rotation: RopeAngles | null;
  /**
   * Of the shape and type of the matrix of q, k and v: receives them in the same columns, v as it
   * is. Other columns are not touched.
   */
  output: Matrix;
  /** f32 [tokens, {@linkcode qkNormRows}]: receives 1 / sqrt(mean square + eps), for the gradients. */
  rstd: Matrix | null;
}

/** Rows of queries and keys that are normed of each token. */
export function qkNormRows(over: "head" | "width", { heads, kvHeads }: AttentionHeads): number {
  return over === "head" ? heads + kvHeads : 2;
}

/**
 * Records `output = rotated(q · rstd · weight)`, and the same of k, row by row, computed in f32. q, k
 * and v are columns of one matrix, f32 or, where `rotatesF16` says so, f16.
 */
export function qkNorm(program: Program, options: QkNormOptions): void {
  const { q, k, v, kvHeads, headDim, eps, rotation, output, rstd } = options;
  const shape = checkRows("qkNorm", options);
  const { rows: tokens, cols, type } = q.matrix;
  checkBlock("qkNorm", "v", v, tokens, kvHeads * headDim, [type]);
  checkOneMatrix("qkNorm", { q, k, v });
  expectMatrix("qkNorm", "output", output, { rows: tokens, cols, types: [type] });
  const statistics = { rows: tokens, cols: qkNormRows(options.over, options) };
  if (rstd) expectMatrix("qkNorm", "rstd", rstd, statistics);
  if (rotation) checkAngles("qkNorm", rotation, tokens, headDim);
  if (tokens === 0) return;
  // A thread takes vectors in pairs.
  const vec4 = suitsVec4(headDim, [q.column, k.column, v.column]);
  if (type !== "f32" && !vec4) throw new TypeError(`qkNorm: q is ${type}, not f32`);
  const { constants, params, grid } = shape.call(vec4, 2, kvHeads * headDim);
  const width = vec4 ? 4 : 1;
  program.dispatch(
    program.device.kernel("qk_norm", {
      ...constants,
      ROTATED: rotation !== null,
      STATISTICS: rstd !== null,
      ...(rotation && ropeConstants(rotation, headDim, true)),
    }),
    {
      qkv: q.matrix,
      output,
      q_weight: options.qWeight,
      k_weight: options.kWeight,
      ...(rstd && { rstd }),
      ...(rotation && { positions: rotation.positions, frequencies: rotation.frequencies }),
    },
    {
      ...params,
      v_column: v.column / width,
      half: headDim / 2 / width,
      rstd_pitch: rstd?.pitch ?? 0,
      eps,
    },
    grid,
    { bytes: 2 * ELEMENT_BYTES[type] * tokens * (q.cols + k.cols + v.cols), label: shape.label },
  );
}

/** Operands and options of {@linkcode qkNormBackward}. */
export interface QkNormBackwardOptions
  extends AttentionHeads, QkNormWeights, Pick<AttentionInputs, "q" | "k"> {
  /** What the forward kept. */
  rstd: Matrix;
  /**
   * f32, with the columns of the matrix of q and k: the gradient of what was normed, which becomes
   * that of q and k. `attentionBackward` writes it, rotated back.
   */
  dQkv: Matrix;
}

/** Records the gradient of {@linkcode qkNorm} with respect to q and k, in place. */
export function qkNormBackward(program: Program, options: QkNormBackwardOptions): void {
  const { q, k, qWeight, kWeight, rstd, dQkv } = options;
  const shape = checkBackward("qkNormBackward", options);
  const { rows: tokens, type } = q.matrix;
  if (tokens === 0) return;
  const vec4 = suitsVec4(options.headDim, [q.column, k.column]);
  if (type !== "f32" && !vec4) throw new TypeError(`qkNormBackward: q is ${type}, not f32`);
  const { constants, params, grid } = shape.call(vec4, 1, 0);
  program.dispatch(
    program.device.kernel("qk_norm_backward", constants),
    { qkv: q.matrix, d_qkv: dQkv, q_weight: qWeight, k_weight: kWeight, rstd },
    { ...params, rstd_pitch: rstd.pitch },
    grid,
    { bytes: (8 + ELEMENT_BYTES[type]) * tokens * (q.cols + k.cols), label: shape.label },
  );
}

/** Operands and options of {@linkcode qkNormWeightGradient}; q and k are f32. */
export interface QkNormWeightGradientOptions
  extends Omit<QkNormBackwardOptions, keyof QkNormWeights> {
  over: "head" | "width";
  /** Gradient of the weight of queries; added to. */
  dQWeight: Vector;
  /** Gradient of the weight of keys; added to. */
  dKWeight: Vector;
}

/** The most shares that the rows are summed in, and the rows that a share has at least. */
const MOST_CHUNKS = 256;
const SHORTEST_CHUNK = 32;

/**
 * Records the gradients of {@linkcode qkNorm} with respect to its weights, added to what is there.
 * To be recorded before {@linkcode qkNormBackward}, which overwrites `dQkv`.
 */
export function qkNormWeightGradient(program: Program, options: QkNormWeightGradientOptions): void {
  const { over, q, k, heads, kvHeads, dQWeight, dKWeight } = options;
  const weights = { over, qWeight: dQWeight, kWeight: dKWeight };
  checkBackward("qkNormWeightGradient", { ...options, ...weights });
  if (q.matrix.type !== "f32") {
    throw new TypeError(`qkNormWeightGradient: q is ${q.matrix.type}, not f32`);
  }
  if (q.matrix.rows === 0) return;
  const [qRows, kRows] = over === "head" ? [heads, kvHeads] : [1, 1];
  recordWeightGradient(program, options, {
    column: q.column,
    rowsPerToken: qRows,
    firstRow: 0,
    dWeight: dQWeight,
  });
  recordWeightGradient(program, options, {
    column: k.column,
    rowsPerToken: kRows,
    firstRow: qRows,
    dWeight: dKWeight,
  });
}

/** The rows of queries, or those of keys. */
interface RowsOfWeight {
  column: number;
  rowsPerToken: number;
  /** Their first column in the statistics. */
  firstRow: number;
  dWeight: Vector;
}

function recordWeightGradient(
  program: Program,
  { q: { matrix: qkv }, rstd, dQkv }: QkNormWeightGradientOptions,
  { column, rowsPerToken, firstRow, dWeight }: RowsOfWeight,
): void {
  const cols = dWeight.length;
  const rows = qkv.rows * rowsPerToken;
  const chunkRows = Math.max(SHORTEST_CHUNK, Math.ceil(rows / MOST_CHUNKS));
  const chunks = Math.ceil(rows / chunkRows);
  const partials = program.scratch(chunks, cols, "partial weight gradients");
  program.dispatch(
    program.device.kernel("qk_norm_weight_gradient"),
    { qkv, d_qkv: dQkv, rstd, partials },
    {
      rows,
      rows_per_token: rowsPerToken,
      cols,
      column,
      pitch: qkv.pitch,
      first_row: firstRow,
      rstd_pitch: rstd.pitch,
      chunk_rows: chunkRows,
      partials_pitch: partials.pitch,
    },
    [Math.ceil(partials.pitch / 64), chunks],
  );
  const vectors = Math.ceil(cols / 4);
  program.dispatch(
    program.device.kernel("sum_partials", { ACCUMULATE: true }),
    { partials, out: dWeight },
    { rows: 1, vectors, pitch: partials.pitch, out_pitch: 0, out_column: 0, splits: chunks },
    linearGrid(vectors, 64),
  );
}

/** Whether heads and halves of heads are whole vectors of four, in memory too. */
function suitsVec4(headDim: number, columns: readonly number[]): boolean {
  return columns.every((column) => rotatesF16(headDim, column));
}

function checkBackward(kernel: string, options: QkNormBackwardOptions) {
  const { over, q: { matrix: { rows, cols } }, rstd, dQkv } = options;
  const shape = checkRows(kernel, options);
  expectMatrix(kernel, "rstd", rstd, { rows, cols: qkNormRows(over, options) });
  expectMatrix(kernel, "dQkv", dQkv, { rows, cols });
  return shape;
}

/** Checks queries, keys and weights; returns what the kernels that go by rows have in common. */
function checkRows(kernel: string, options: Omit<QkNormBackwardOptions, "rstd" | "dQkv">) {
  const { over, q, k, qWeight, kWeight, weightOffset = 0, heads, kvHeads, headDim } = options;
  checkHeads(kernel, options);
  const { rows: tokens, pitch, type } = q.matrix;
  checkBlock(kernel, "q", q, tokens, heads * headDim, QKV_TYPES);
  checkBlock(kernel, "k", k, tokens, kvHeads * headDim, [type]);
  checkOneMatrix(kernel, { q, k });
  const ofHead = over === "head";
  const [qCols, kCols] = ofHead ? [headDim, headDim] : [q.cols, k.cols];
  expectVector(kernel, "the weight of q", qWeight, qCols);
  expectVector(kernel, "the weight of k", kWeight, kCols);
  const [qRows, kRows] = ofHead ? [heads, kvHeads] : [1, 1];
  return {
    label: `${tokens}×${ofHead ? heads + kvHeads : "2"}×${qCols}`,
    /**
     * @param vectors That a thread takes at a time.
     * @param copied Columns that are rows too, of the length of those of keys.
     */
    call(vec4: boolean, vectors: number, copied: number) {
      const width = vec4 ? 4 : 1;
      const places = Math.max(qCols, kCols) / width / vectors;
      const most = ofHead ? HEAD_THREADS : THREADS.width;
      const rowThreads = Math.min(most, 2 ** Math.ceil(Math.log2(places)));
      const rowsOfToken = qRows + kRows + copied / kCols;
      return {
        constants: {
          THREADS: THREADS[over],
          ROW_THREADS: rowThreads,
          LOADS: Math.ceil(places / rowThreads),
          VEC4: vec4,
          QKV: type,
        },
        params: {
          tokens,
          q_rows: qRows,
          k_rows: kRows,
          q_vectors: qCols / width,
          k_vectors: kCols / width,
          q_column: q.column / width,
          k_column: k.column / width,
          pitch: pitch / width,
          weight_offset: weightOffset,
        },
        grid: linearGrid(tokens * rowsOfToken, THREADS[over] / rowThreads),
      };
    },
  };
}
