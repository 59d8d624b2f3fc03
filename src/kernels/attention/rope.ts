/**
 * Rotary position embedding of queries and keys, in place, before attention reads them.
 *
 * @module
 */

import { ELEMENT_BYTES, type Matrix } from "../../gpu/buffers.ts";
import { linearGrid, type Program } from "../../gpu/program.ts";
import { expectType } from "../shapes.ts";
import { type AttentionHeads, checkHeads, QKV_TYPES } from "./shapes.ts";
import { checkAngles, type RopeAngles, ropeConstants } from "./rope_angles.ts";

/** Threads of a workgroup. */
const THREADS = 128;

/** Heads that a thread rotates by the angles it computed. */
const HEADS = 4;

/** Operands and options of {@linkcode rope}. */
export interface RopeOptions extends AttentionHeads, RopeAngles {
  /**
   * f32 [tokens, ·]: queries in the first columns, rotated in place like the keys; other columns
   * stay. Also f16 where {@linkcode rotatesF16} says so.
   */
  qkv: Matrix;
  /** First column of the keys. Default: right behind the queries. */
  keyColumn?: number;
}

/** Whether q and k may be f16: their planes are then read four at a time, else one by one. */
export function rotatesF16(headDim: number, keyColumn: number): boolean {
  return headDim % 8 === 0 && keyColumn % 4 === 0;
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
  if (keyColumn < heads * headDim || qkv.cols < keyColumn + kvHeads * headDim) {
    throw new RangeError(
      `rope: qkv has ${qkv.cols} columns, not ${heads} heads of ${headDim} and, ` +
        `from column ${keyColumn} on, ${kvHeads} more`,
    );
  }
  checkAngles("rope", options, qkv.rows, headDim);
  const half = headDim / 2;
  const vec4 = rotatesF16(headDim, keyColumn);
  expectType("rope", "qkv", qkv.type, vec4 ? QKV_TYPES : ["f32"]);
  const groups = Math.ceil(turned / HEADS);
  program.dispatch(
    program.device.kernel("rope", {
      ...{ THREADS, HEADS, VEC4: vec4, QKV: qkv.type },
      ...ropeConstants(options, headDim, true),
    }),
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
    {
      bytes: 2 * ELEMENT_BYTES[qkv.type] * qkv.rows * turned * headDim,
      label: `${qkv.rows}×${turned}×${headDim}`,
    },
  );
}
