/**
 * The gradients of the norms of queries and keys.
 *
 * @module
 */

import { ELEMENT_BYTES, type Matrix, type Vector } from "../../gpu/buffers.ts";
import { linearGrid, type Program } from "../../gpu/program.ts";
import { expectMatrix } from "../shapes.ts";
import {
  checkRows,
  checkValues,
  isPart,
  type QkNormInputs,
  qkNormRows,
  type QkNormWeights,
  suitsVec4,
} from "./qk_norm_rows.ts";

/** Operands and options of {@linkcode qkNormBackward}. */
export interface QkNormBackwardOptions extends QkNormInputs {
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

/** Records the gradient of `qkNorm` with respect to q, k and v. */
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
 * Records the gradients of `qkNorm` with respect to its weights, added to what is there.
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

function checkBackward(kernel: string, options: QkNormBackwardOptions) {
  const { q: { matrix: { rows, cols } }, rstd, dQkv } = options;
  const shape = checkRows(kernel, options);
  checkValues(kernel, options, dQkv);
  expectMatrix(kernel, "rstd", rstd, { rows, cols: qkNormRows(options) });
  expectMatrix(kernel, "dQkv", dQkv, { rows, cols: isPart(options) ? dQkv.cols : cols });
  return shape;
}
