/**
 * Rotary position embedding of queries and keys, in place, before attention reads them.
 *
 * @module
 */

import type { Matrix } from "../../gpu/buffers.ts";
import { linearGrid, type Program } from "../../gpu/program.ts";
import { type AttentionHeads, checkHeads } from "./shapes.ts";
import { checkAngles, type RopeAngles } from "./rope_angles.ts";

/** Threads of a workgroup. */
const THREADS = 128;

/** Heads that a thread rotates by the angles it computed. */
const HEADS = 4;

/** Operands and options of {@linkcode rope}. */
export interface RopeOptions extends AttentionHeads, RopeAngles {
  /**
   * f32 [tokens, ·]: queries in the first columns, rotated in place like the keys; other columns
   * stay.
   */
  qkv: Matrix;
  /** First column of the keys. Default: right behind the queries. */
  keyColumn?: number;
}

/**
 * Records the rotary position embedding of queries and keys, in Hugging Face's half-split layout.
 * Gradients are rotated back by `attentionBackward`.
 */
export function rope(program: Program, options: RopeOptions): void {
  const { qkv, positions, frequencies, heads, kvHeads, headDim } = options;
  checkHeads("rope", options);
  const turned = heads + kvHeads;
  const keyColumn = options.keyColumn ?? heads * headDim;
  if (qkv.type !== "f32") throw new TypeError(`rope: qkv is ${qkv.type}, not f32`);
  if (keyColumn < heads * headDim || qkv.cols < keyColumn + kvHeads * headDim) {
    throw new RangeError(
      `rope: qkv has ${qkv.cols} columns, not ${heads} heads of ${headDim} and, ` +
        `from column ${keyColumn} on, ${kvHeads} more`,
    );
  }
  checkAngles("rope", options, qkv.rows, headDim);
  const half = headDim / 2;
  const vec4 = half % 4 === 0 && keyColumn % 4 === 0;
  const groups = Math.ceil(turned / HEADS);
  program.dispatch(
    program.device.kernel("rope", { THREADS, HEADS, VEC4: vec4 }),
    { positions, frequencies, matrix: qkv },
    {
      tokens: qkv.rows,
      heads: turned,
      query_heads: heads,
      key_column: keyColumn,
      half,
      pitch: qkv.pitch,
      groups,
    },
    linearGrid(qkv.rows * groups * half / (vec4 ? 4 : 1), THREADS),
    { bytes: 2 * 4 * qkv.rows * turned * headDim, label: `${qkv.rows}×${turned}×${headDim}` },
  );
}
