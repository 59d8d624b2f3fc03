/**
 * The weight update of FALQON in packed half-precision arithmetic. `falqon.ts` chooses it on GPUs
 * with f16 but without subgroup matrices, for stochastic updates in place, whose coefficients have no
 * more bits than f16 holds.
 *
 * @module
 */

import { roundUp } from "../../gpu/buffers.ts";
import type { Device } from "../../gpu/device.ts";
import type { Bindings, DispatchCost, Program } from "../../gpu/program.ts";
import type { KernelConstants } from "../../gpu/template.ts";
import { type AdaptedPart, setsOf, type UpdateBase } from "./adapted_part.ts";
import { codeBound } from "./update_format.ts";

/** How a workgroup of `falqon_update_half.wgsl` is made up. BM to TN are multiples of 4. */
export interface UpdateHalfTile {
  /** Rows of the weight that a workgroup writes, and columns at a time. */
  BM: number;
  BN: number;
  /** Rows and columns of a tile that a thread writes. */
  TM: number;
  TN: number;
  /** Tiles that a workgroup walks along. */
  steps: number;
}

/** The tile, and that of devices with less workgroup memory. */
export const HALF_TILE: UpdateHalfTile = { BM: 64, BN: 128, TM: 8, TN: 8, steps: 4 };
const NARROW_TILE: UpdateHalfTile = { BM: 64, BN: 64, TM: 8, TN: 4, steps: 8 };

/** Rows and rank from which tiles are not mostly empty. */
const FEWEST_ROWS = 64;
const SMALLEST_RANK = 16;
/** Rank up to which sums are added in f16 as a whole. */
const LARGEST_RANK = 64;
/** Rank that a part of the loop over it takes. */
const PART = 16;

/**
 * The tile for a part, where the kernel is chosen on a device, can write the part, and is worth it;
 * else undefined.
 */
export function updateHalfTile(
  device: Device,
  { rows, rank }: AdaptedPart,
  base: UpdateBase,
): UpdateHalfTile | undefined {
  if (!device.tuning.packedUpdate || rows < FEWEST_ROWS) return undefined;
  if (rank < SMALLEST_RANK || rank > LARGEST_RANK) return undefined;
  const sets = setsOf(base);
  const most = device.limits.maxComputeWorkgroupStorageSize;
  return [HALF_TILE, NARROW_TILE].find((tile) => updateHalfBytes(tile, rank, sets) <= most);
}

/** Bytes of workgroup memory that the kernel with a tile and one or two sets of coefficients needs. */
export function updateHalfBytes(
  { BM, BN, TM, TN }: UpdateHalfTile,
  rank: number,
  sets: number,
): number {
  const threads = (BM / TM) * (BN / TN);
  return 2 * roundUp(rank, PART) * (sets * BM + BN) + sets * (16 * threads + 4 * BM);
}

/** Operands of {@linkcode updateRowsHalf}, checked by the caller. */
export interface UpdateHalfOptions {
  part: AdaptedPart;
  tile: UpdateHalfTile;
  /** Those of `wgsl/falqon/falqon_part.wgsl`. */
  constants: KernelConstants;
  bindings: Bindings;
  params: Readonly<Record<string, number>>;
  cost: DispatchCost;
}

/** Records `weight[i] = encode(base[i] + β_i · A~)` for all rows, rounded stochastically. */
export function updateRowsHalf(program: Program, options: UpdateHalfOptions): void {
  const { part: { weight, rows, rank }, tile, constants, bindings, params, cost } = options;
  if (rank > LARGEST_RANK) {
    throw new RangeError(`updateRows: packed f16 takes ranks up to ${LARGEST_RANK}, not ${rank}`);
  }
  const { BM, BN, TM, TN, steps } = tile;
  const threads = (BM / TM) * (BN / TN);
  const pairs = roundUp(rank, PART) / 2;
  program.dispatch(
    program.device.kernel("falqon_update_half", {
      ...constants,
      BM,
      BN,
      TM,
      TN,
      STEPS: steps,
      PAIRS: pairs,
      UNROLL: PART / 2,
      A_LOADS: Math.ceil(pairs * BN / 4 / threads),
      BETA_LOADS: Math.ceil(pairs / 2 * BM / 4 / threads),
      // Sums of `pairs` products with the largest value of a code stay below 2^15.
      EXPONENT: Math.floor(15 - Math.log2(codeBound(weight.type) * pairs)),
    }),
    bindings,
    { count: rows, ...params },
    [Math.ceil(weight.pitch / (BN * steps)), Math.ceil(rows / BM)],
    cost,
  );
}
