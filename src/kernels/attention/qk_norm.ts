/**
 * RMSNorm of queries and keys between their projections and attention, together with their rotation,
 * and its gradients.
 *
 * @module
 */

import type { ColumnBlock, Matrix, Vector } from "../../gpu/buffers.ts";
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

/** Threads of a workgroup, and of a row at most. */
const THREADS = { head: 128, width: 256 } as const;

/** Threads that share a head at most: neighbours that read whole stretches of memory. */
const HEAD_THREADS = 32;

/** The norms of queries and keys. Without key heads, where `kvHeads` is 0, blocks of keys and values are empty. */
export interface QkNormWeights {
  /** What is a row: a head by itself, or all heads of a token. */
  over: "head" | "width";
  /** f32 [headDim], or over the width [heads · headDim]. */
  qWeight: Vector;
  /** f32 [headDim], or over the width [kvHeads · headDim]. Left out without key heads. */
  kWeight?: Vector;
  /** 1 where rows are multiplied by 1 + weight. Default 0. */
  weightOffset?: 0 | 1;
}

/** What becomes of values beside queries and keys. */
export interface QkNormValues {
  /**
   * They are copied, which is the default; or each head of them is normed, without a weight, only where
   * heads of queries and keys are. Or there are none, and keys, normed without a weight, are the values.
   */
  values?: "copied" | "normed" | "keys";
}

/** Operands and options of {@linkcode qkNorm}. */
export interface QkNormOptions extends AttentionHeads, QkNormWeights, QkNormValues {
  /** [tokens, heads · headDim]. */
  q: ColumnBlock;
  /** [tokens, kvHeads · headDim]. */
  k: ColumnBlock;
  /** [tokens, kvHeads · headDim]. Where keys are the values: their columns of the output. */
  v: ColumnBlock;
  /** Added to the mean square. */
  eps: number;
  /** The angles by which queries and keys are rotated then; null for not at all. */
  rotation: RopeAngles | null;
  /**
   * Of the shape and type of the matrix of q, k and v, or wider where that has no v or no k: receives
   * them in the same columns. Other columns are not touched.
   */
  output: Matrix;
  /** f32 [tokens, {@linkcode qkNormRows}]: receives 1 / sqrt(mean square + eps), for the gradients. */
  rstd: Matrix | null;
}

/** Rows that are normed of each token, those whose statistics are kept. */
export function qkNormRows(
  { over, values, heads, kvHeads }: AttentionHeads & QkNormValues & Pick<QkNormWeights, "over">,
): number {
  return over === "head" ? heads + (values === "normed" ? 2 : 1) * kvHeads : 2;
}

/**
 * Records `output = rotated(q · rstd · weight)`, and the same of k, row by row, computed in f32. q, k
 * and v are columns of one matrix, f32 or, where `rotatesF16` says so, f16.
 */
export function qkNorm(program: Program, options: QkNormOptions): void {
  const { q, k, v, headDim, eps, rotation, output, rstd, values = "copied" } = options;
  const shape = checkRows("qkNorm", options);
  const { rows: tokens, cols, type } = q.matrix;
  checkValues("qkNorm", options, output);
  const outputCols = isPart(options) ? output.cols : cols;
  expectMatrix("qkNorm", "output", output, { rows: tokens, cols: outputCols, types: [type] });
  if (rstd) expectMatrix("qkNorm", "rstd", rstd, { rows: tokens, cols: qkNormRows(options) });
  if (rotation) checkAngles("qkNorm", rotation, tokens, headDim);
  if (tokens === 0) return;
  // A thread takes vectors in pairs.
  const vec4 = suitsVec4(headDim, [q.column, k.column, v.column]);
  if (type !== "f32" && !vec4) throw new TypeError(`qkNorm: q is ${type}, not f32`);
  const { constants, params, grid } = shape.call(vec4, 2, values === "keys" ? 0 : v.cols);
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
      k_weight: options.kWeight ?? options.qWeight,
      ...(rstd && { rstd }),
      ...(rotation && { positions: rotation.positions, frequencies: rotation.frequencies }),
    },
    {
      ...params,
      v_column: v.column / width,
      out_pitch: output.pitch / width,
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
  extends Omit<QkNormOptions, "eps" | "rotation" | "output" | "rstd"> {
  /** What the forward kept. */
  rstd: Matrix;
  /**
   * f32, with the columns of the forward's output: the gradient of what was normed, which becomes
   * that of q, k and v. `attentionBackward` writes it, rotated back.
   */
  dQkv: Matrix;
  /**
   * f32, with the columns of the matrix of q and k: receives the gradient where that has no v or no k, in
   * place of `dQkv`.
   */
  out?: Matrix;
}

/** Records the gradient of {@linkcode qkNorm} with respect to q, k and v. */
export function qkNormBackward(program: Program, options: QkNormBackwardOptions): void {
  const { q, k, v, qWeight, kWeight, rstd, dQkv, out, values = "copied" } = options;
  const shape = checkBackward("qkNormBackward", options);
  const { rows: tokens, cols, type } = q.matrix;
  if (values === "keys" && !out) {
    throw new TypeError("qkNormBackward: out is missing with keys as values");
  }
  if (out) expectMatrix("qkNormBackward", "out", out, { rows: tokens, cols });
  if (tokens === 0) return;
  const vec4 = suitsVec4(options.headDim, [q.column, k.column, v.column]);
  if (type !== "f32" && !vec4) throw new TypeError(`qkNormBackward: q is ${type}, not f32`);
  const { constants, params, grid } = shape.call(vec4, 1, values === "normed" ? v.cols : 0);
  const width = vec4 ? 4 : 1;
  program.dispatch(
    program.device.kernel("qk_norm_backward", { ...constants, OUT: out !== undefined }),
    {
      qkv: q.matrix,
      d_qkv: dQkv,
      q_weight: qWeight,
      k_weight: kWeight ?? qWeight,
      rstd,
      ...(out && { out }),
    },
    {
      ...params,
      v_column: v.column / width,
      d_pitch: dQkv.pitch / width,
      rstd_pitch: rstd.pitch,
    },
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
  /** Gradient of the weight of keys; added to. Left out without key heads. */
  dKWeight?: Vector;
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
  if (!dKWeight) return;
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
      d_pitch: dQkv.pitch,
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

type QkNormBackwardBlocks = Pick<
  QkNormOptions,
  "over" | "q" | "k" | "v" | "kvHeads" | "headDim" | "values"
>;

function checkBackward(kernel: string, options: QkNormBackwardOptions) {
  const { q: { matrix: { rows, cols } }, rstd, dQkv } = options;
  const shape = checkRows(kernel, options);
  checkValues(kernel, options, dQkv);
  expectMatrix(kernel, "rstd", rstd, { rows, cols: qkNormRows(options) });
  expectMatrix(kernel, "dQkv", dQkv, { rows, cols: isPart(options) ? dQkv.cols : cols });
  return shape;
}

/** Whether what attention reads has columns that the output of the projections has not. */
function isPart({ values, kvHeads }: AttentionHeads & QkNormValues): boolean {
  return values === "keys" || kvHeads === 0;
}

/** Checks values: columns of the matrix of queries and keys, or of what the forward writes. */
function checkValues(
  kernel: string,
  { over, q, k, v, kvHeads, headDim, values = "copied" }: QkNormBackwardBlocks,
  output: Matrix,
): void {
  if (values !== "copied" && over !== "head") {
    throw new TypeError(`${kernel}: values are normed by heads, not over the ${over}`);
  }
  const { rows, type } = q.matrix;
  const matrix = values === "keys" ? output : v.matrix;
  checkBlock(kernel, "v", { ...v, matrix }, rows, kvHeads * headDim, [matrix.type]);
  if (values === "keys") return;
  checkBlock(kernel, "v", v, rows, kvHeads * headDim, [type]);
  checkOneMatrix(kernel, { q, k, v });
}

/** Checks queries, keys and weights; returns what the kernels that go by rows have in common. */
function checkRows(kernel: string, options: Omit<QkNormBackwardOptions, "v" | "rstd" | "dQkv">) {
  const { over, q, k, qWeight, kWeight, weightOffset = 0, heads, kvHeads, headDim } = options;
  const { values = "copied" } = options;
  checkHeads(kernel, { heads, kvHeads: kvHeads || heads, headDim });
  const { rows: tokens, pitch, type } = q.matrix;
  checkBlock(kernel, "q", q, tokens, heads * headDim, QKV_TYPES);
  checkBlock(kernel, "k", k, tokens, kvHeads * headDim, [type]);
  checkOneMatrix(kernel, { q, k });
  const ofHead = over === "head";
  const [qCols, kCols] = ofHead ? [headDim, headDim] : [q.cols, k.cols];
  expectVector(kernel, "the weight of q", qWeight, qCols);
  if (kvHeads > 0) expectVector(kernel, "the weight of k", kWeight!, kCols);
  const [qRows, kRows] = ofHead ? [heads, kvHeads] : [1, 1];
  if (kvHeads === 0 && (!ofHead || values !== "copied")) {
    throw new TypeError(`${kernel}: queries alone are normed by heads, without values`);
  }
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
          VALUES: values,
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
