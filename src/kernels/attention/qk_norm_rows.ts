/**
 * The rows that norms of queries, keys and values take, forward and backward: operands, checks, and what
 * their kernels have in common.
 *
 * @module
 */

import type { ColumnBlock, Matrix, Vector } from "../../gpu/buffers.ts";
import { linearGrid } from "../../gpu/program.ts";
import { expectVector } from "../shapes.ts";
import { rotatesF16 } from "./rope.ts";
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

/** What both directions read. */
export interface QkNormInputs extends AttentionHeads, QkNormWeights, QkNormValues {
  /** [tokens, heads · headDim]. */
  q: ColumnBlock;
  /** [tokens, kvHeads · headDim]. */
  k: ColumnBlock;
  /** [tokens, kvHeads · headDim]. Where keys are the values: their columns of the output. */
  v: ColumnBlock;
}

/** Rows that are normed of each token, those whose statistics are kept. */
export function qkNormRows(
  { over, values, heads, kvHeads }: AttentionHeads & QkNormValues & Pick<QkNormWeights, "over">,
): number {
  return over === "head" ? heads + (values === "normed" ? 2 : 1) * kvHeads : 2;
}

/** Whether heads and halves of heads are whole vectors of four, in memory too. */
export function suitsVec4(headDim: number, columns: readonly number[]): boolean {
  return columns.every((column) => rotatesF16(headDim, column));
}

/** Whether what attention reads has columns that the output of the projections has not. */
export function isPart({ values, kvHeads }: AttentionHeads & QkNormValues): boolean {
  return values === "keys" || kvHeads === 0;
}

/** Checks values: columns of the matrix of queries and keys, or of what the forward writes. */
export function checkValues(
  kernel: string,
  { over, q, k, v, kvHeads, headDim, values = "copied" }: QkNormInputs,
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
export function checkRows(kernel: string, options: Omit<QkNormInputs, "v">) {
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
