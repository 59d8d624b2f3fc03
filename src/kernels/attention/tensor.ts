/**
 * Attention on tensor cores (subgroup matrices): products of operands rounded to f16, summed in
 * f32. `attention.ts` chooses it where the device can.
 *
 * @module
 */

import type { Device } from "../../gpu/device.ts";
import type { Program } from "../../gpu/program.ts";
import type { KernelConstants } from "../../gpu/template.ts";
import { F16_MATRIX, supportsMatrix } from "../../gpu/subgroup_matrix.ts";
import { attentionScaledDelta } from "./delta.ts";
import { backwardCall, forwardCall } from "./params.ts";
import type { AttentionBackwardOptions, AttentionForwardOptions } from "./shapes.ts";

/** How a workgroup of `attention_tensor.wgsl` is made up. */
export interface TensorTile {
  /**
   * Subgroups of 32 invocations, each with 16 rows; even in the backward, where two share 16 rows.
   */
  subgroups: number;
  /** Columns of a tile: a multiple of 32. */
  columns: number;
}

/** Tiles of the three kernels. */
export interface TensorTiles {
  forward: TensorTile;
  queries: TensorTile;
  keysValues: TensorTile;
}

/** Their names. */
export const TENSOR_KERNELS = ["forward", "queries", "keysValues"] as const;

/** Those used. */
export const TENSOR_TILES: TensorTiles = {
  forward: { subgroups: 4, columns: 32 },
  queries: { subgroups: 8, columns: 32 },
  keysValues: { subgroups: 8, columns: 32 },
};

/**
 * Those of heads for which the tiles of the gradients are too large: at 48 KB, heads over 224. Both
 * keep half the rows: 43 KB for heads of 256. Fewer columns would need another way to share out
 * the scores, and parts of a head scores of their own, which are most of the work.
 */
const SMALL_TENSOR_TILES: TensorTiles = {
  forward: { subgroups: 4, columns: 32 },
  queries: { subgroups: 4, columns: 32 },
  keysValues: { subgroups: 4, columns: 32 },
};

/** Heads up to this are left to other kernels where {@linkcode TENSOR_TILES} do not fit. */
const MOST_DIMS_OF_LARGE_TILES = 128;

/** The tiles for a head size, null where the device has workgroup memory for none. */
export function tensorTilesFor(device: Device, headDim: number): TensorTiles | null {
  const choices = headDim <= MOST_DIMS_OF_LARGE_TILES
    ? [TENSOR_TILES]
    : [TENSOR_TILES, SMALL_TENSOR_TILES];
  const fits = (tiles: TensorTiles) =>
    TENSOR_KERNELS.every((kernel) => suitsTensorTile(device, kernel, tiles[kernel], headDim));
  return choices.find(fits) ?? null;
}

/**
 * Bytes that a kernel keeps in workgroup memory besides `tile` of `attention_tensor.wgsl`, at most.
 */
const OTHER_BYTES = 512;

/** Rows of a workgroup. */
function rowsOf(kernel: keyof TensorTiles, { subgroups }: TensorTile): number {
  return (kernel === "forward" ? 16 : 8) * subgroups;
}

/** Whether a kernel can have a tile: one of its form, in the workgroup memory of the device. */
export function suitsTensorTile(
  device: Device,
  kernel: keyof TensorTiles,
  { subgroups, columns }: TensorTile,
  headDim: number,
): boolean {
  const forward = kernel === "forward"; // keys and values take turns in one tile
  if (!forward && subgroups % 2) return false;
  const vectors = (forward ? 1 : 2) * columns * (headDim / 8 + 1) +
    16 * subgroups * (columns / 4 + 1);
  return 16 * vectors + OTHER_BYTES <= device.limits.maxComputeWorkgroupStorageSize;
}

/**
 * Whether the kernels can compute an attention: the device has subgroup matrices and workgroup
 * memory, heads are whole fragments of 16 columns, and everything is read and written in whole
 * groups of four.
 *
 * @param options Those of the forward or of the backward, checked.
 */
export function suitsTensorAttention(
  device: Device,
  options: AttentionForwardOptions | AttentionBackwardOptions,
): boolean {
  const { q, k, v, headDim } = options;
  const columns = [q.column, k.column, v.column];
  if ("dQ" in options) {
    const { dQ, dK, dV } = options;
    columns.push(dQ.column, dK.column, dV.column, dQ.matrix.cols);
  }
  return supportsMatrix(device, F16_MATRIX) && headDim % 16 === 0 &&
    columns.every((column) => column % 4 === 0) && tensorTilesFor(device, headDim) !== null;
}

/**
 * Records the forward. On a device without subgroup matrices the same kernels run with fragments
 * emulated, which is for tests: `attention.ts` does not come here then.
 *
 * @param options Checked, and suitable (see {@linkcode suitsTensorAttention}).
 */
export function attentionTensorForward(
  program: Program,
  options: AttentionForwardOptions,
  given?: TensorTile,
): void {
  const { q, heads, headDim } = options;
  const { device } = program;
  const tile = given ?? tensorTilesFor(device, headDim)!.forward;
  const call = forwardCall(options, 4);
  program.dispatch(
    device.kernel("attention_tensor_forward", {
      ...tileConstants(device, "forward", tile, headDim),
      ...call.constants,
    }),
    call.bindings,
    call.params,
    [Math.ceil(q.matrix.rows / rowsOf("forward", tile)), heads],
  );
}

/**
 * Records the backward: delta, the power of two that brings dOutput into the range of f16, the
 * gradient of the queries, those of keys and values. Each element is written by one workgroup in a
 * fixed order. Without subgroup matrices as in {@linkcode attentionTensorForward}.
 *
 * @param options Checked, and suitable (see {@linkcode suitsTensorAttention}).
 */
export function attentionTensorBackward(
  program: Program,
  options: AttentionBackwardOptions,
  given?: TensorTiles,
): void {
  const { q, heads, kvHeads, headDim } = options;
  const { device } = program;
  const { queries, keysValues } = given ?? tensorTilesFor(device, headDim)!;
  const tokens = q.matrix.rows;
  const delta = attentionScaledDelta(program, options, 7);
  const { queryConstants, keyConstants, bindings, params } = backwardCall(options, delta, 4);
  program.dispatch(
    device.kernel("attention_tensor_queries", {
      ...tileConstants(device, "queries", queries, headDim),
      ...queryConstants,
    }),
    bindings,
    params,
    [Math.ceil(tokens / rowsOf("queries", queries)), heads],
  );
  program.dispatch(
    device.kernel("attention_tensor_keys_values", {
      ...tileConstants(device, "keysValues", keysValues, headDim),
      ...keyConstants,
    }),
    bindings,
    params,
    [Math.ceil(tokens / rowsOf("keysValues", keysValues)), kvHeads],
  );
}

function tileConstants(
  device: Device,
  kernel: keyof TensorTiles,
  tile: TensorTile,
  HEAD_DIM: number,
): KernelConstants {
  const { subgroups: SUBGROUPS, columns: COLUMNS } = tile;
  // Two subgroups of a role can share 32 rows where there are two.
  const ROW_BLOCKS = kernel === "keysValues" && SUBGROUPS % 4 === 0 ? 2 : 1;
  return {
    HEAD_DIM,
    SUBGROUPS,
    COLUMNS,
    LEFT_TILES: Math.ceil(rowsOf(kernel, tile) / COLUMNS),
    FETCHES: Math.ceil(COLUMNS * HEAD_DIM / 8 / (32 * SUBGROUPS)),
    ROW_BLOCKS,
    // Of the queries' gradient a subgroup keeps half of the dims, and so where it keeps twice the
    // rows.
    SUM_BLOCKS: Math.ceil(HEAD_DIM / (kernel === "queries" || ROW_BLOCKS === 2 ? 32 : 16)),
    EMULATE: !supportsMatrix(device, F16_MATRIX),
  };
}
