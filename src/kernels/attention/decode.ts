/**
 * Attention with a cache of keys and values, for generating one token at a time. What changes from
 * token to token (position, length) is read from buffers, so that a program recorded once serves
 * every token.
 *
 * @module
 */

import type { BufferView, ColumnBlock, Matrix } from "../../gpu/buffers.ts";
import { linearGrid, type Program } from "../../gpu/program.ts";
import {
  type AttentionHeads,
  type AttentionScores,
  capOf,
  checkBlock,
  checkHeads,
  QKV_TYPES,
  scaleOf,
} from "./shapes.ts";
import { columnThreads, forwardRows } from "./attention.ts";
import { expectMatrix } from "../shapes.ts";

/** Threads of a workgroup that copies; one that attends has twice as many as a head has pairs. */
const THREADS = 128;

/** The cached keys and values of one layer, in the element type of q, k and v: f32 or f16. */
export interface KeyValueCache {
  /** [maxLength, kvHeads · headDim] */
  keyCache: Matrix;
  /** [maxLength, kvHeads · headDim] */
  valueCache: Matrix;
}

/** Operands and options of {@linkcode appendToCache}. */
export interface AppendToCacheOptions extends KeyValueCache {
  /** [tokens, kvHeads · headDim], rotated. */
  k: ColumnBlock;
  /** [tokens, kvHeads · headDim] */
  v: ColumnBlock;
  /** u32 [tokens]: the row of the caches that each token goes to; past the end it is skipped. */
  positions: BufferView;
}

/** Records copying the keys and values of new tokens, a prompt or one token, into the caches. */
export function appendToCache(program: Program, options: AppendToCacheOptions): void {
  const { k, v, positions, keyCache, valueCache } = options;
  const { rows: maxLength, cols } = keyCache;
  const tokens = k.matrix.rows;
  checkBlock("appendToCache", "k", k, tokens, cols, QKV_TYPES);
  const { type } = k.matrix;
  checkBlock("appendToCache", "v", v, tokens, cols, [type]);
  const cache = { rows: maxLength, cols, types: [type] };
  expectMatrix("appendToCache", "keyCache", keyCache, cache);
  expectMatrix("appendToCache", "valueCache", valueCache, cache);
  if (positions.size < 4 * tokens) {
    throw new RangeError(
      `appendToCache: positions has ${positions.size} bytes, not 4 for each of ${tokens} tokens`,
    );
  }
  const cachePitch = keyCache.pitch / 2;
  program.dispatch(
    program.device.kernel("cache_append", { QKV: type }),
    { k: k.matrix, v: v.matrix, positions, key_cache: keyCache, value_cache: valueCache },
    {
      tokens,
      width: cols / 2,
      max_length: maxLength,
      k_pitch: k.matrix.pitch / 2,
      k_column: k.column / 2,
      v_pitch: v.matrix.pitch / 2,
      v_column: v.column / 2,
      cache_pitch: cachePitch,
    },
    linearGrid(tokens * cachePitch, THREADS),
  );
}

/** Operands and options of {@linkcode attentionDecode}. */
export interface AttentionDecodeOptions extends AttentionHeads, AttentionScores, KeyValueCache {
  /** [1, heads · headDim], rotated. Starts at an even column. */
  q: ColumnBlock;
  /** u32 [1]: keys in the cache, that of the new token included, so at least 1. */
  length: BufferView;
  /** How many keys the token sees, the last ones; null, the default, for all. */
  window?: number | null;
  /** Receives [1, heads · headDim], f32 or f16. */
  output: Matrix;
}

/**
 * Records the attention of one new token to the cached keys, added up in the order in which `attentionForward` does in
 * f32: if the forward's arithmetic is f32 and its document starts at token 0, results are the same bits, unless the compiler joins
 * a multiplication with an addition in one of the two kernels only, as WGSL allows.
 */
export function attentionDecode(program: Program, options: AttentionDecodeOptions): void {
  const { q, keyCache, valueCache, length, output, heads, kvHeads, headDim } = options;
  const { window = null } = options;
  checkHeads("attentionDecode", options);
  checkBlock("attentionDecode", "q", q, 1, heads * headDim, QKV_TYPES);
  const { type } = q.matrix;
  const cache = { rows: keyCache.rows, cols: kvHeads * headDim, types: [type] };
  expectMatrix("attentionDecode", "keyCache", keyCache, cache);
  expectMatrix("attentionDecode", "valueCache", valueCache, cache);
  const one = { rows: 1, cols: heads * headDim, types: QKV_TYPES };
  expectMatrix("attentionDecode", "output", output, one);
  const cap = capOf(options);
  program.dispatch(
    program.device.kernel("attention_decode", {
      THREADS: headDim <= 128 ? 128 : 256,
      WIDE: headDim > 256,
      COLUMN_THREADS: columnThreads(headDim),
      QKV: type,
      OUTPUT: output.type,
      WINDOW: window !== null,
      ...(window !== null && { ROWS: forwardRows(headDim) }),
      ...cap.constants,
    }),
    { q: q.matrix, key_cache: keyCache, value_cache: valueCache, length, output },
    {
      heads,
      kv_heads: kvHeads,
      head_pairs: headDim / 2,
      max_length: keyCache.rows,
      q_column: q.column / 2,
      cache_pitch: keyCache.pitch / 2,
      output_pitch: output.pitch / 2,
      scale: scaleOf(options),
      ...cap.params,
      ...(window !== null && { window }),
    },
    [heads],
  );
}
