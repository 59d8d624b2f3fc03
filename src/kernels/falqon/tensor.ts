/**
 * The weight update of FALQON on tensor cores (subgroup matrices). `falqon.ts` chooses it where the
 * device can.
 *
 * @module
 */

import { type BufferView, layoutOf, type Matrix } from "../../gpu/buffers.ts";
import type { Device } from "../../gpu/device.ts";
import type { DispatchCost, Program } from "../../gpu/program.ts";
import { F16_MATRIX, supportsMatrix } from "../../gpu/subgroup_matrix.ts";
import { type AdaptedPart, changeOf, isInPlace, setsOf, type UpdateBase } from "./adapted_part.ts";
import { roundingBindings, roundingParams, type StochasticRounding } from "./rounding.ts";
import { coefficientBits, needsTwoParts, updateConstants } from "./update_format.ts";

/** Rows of a subgroup. */
const ROWS = 16;

/** How a workgroup of `falqon_update_tensor.wgsl` is made up. */
export interface UpdateTensorTile {
  /** Subgroups of 32 invocations, each with {@linkcode ROWS}. */
  subgroups: number;
  /** Columns of a step: a multiple of 32. */
  columns: number;
  /** Steps that a workgroup takes. */
  steps: number;
}

/** A tile, and the workgroups from which it keeps a large GPU busy. */
interface UpdateTileChoice extends UpdateTensorTile {
  enough: number;
}

/** For one set of sums and codes in panels: the fastest on an H100. */
const SMALL_TILE: UpdateTileChoice = { subgroups: 4, columns: 32, steps: 16, enough: 96 };
/**
 * For codes in rows, of which a step rewrites 32 bytes far apart in memory: 0.149 ms in place of
 * 0.230 at 11008×4096 on an H100.
 */
const TALL_TILE: UpdateTileChoice = { subgroups: 8, columns: 32, steps: 32, enough: 96 };
/**
 * For two sets, whose coefficients take longer to prepare: 0.118 and 0.109 ms in place of 0.129 at
 * 11008×4096 in int8 on an H200, which has room for several workgroups on each of 132 multiprocessors.
 */
const LONG_TILE: UpdateTileChoice = { subgroups: 4, columns: 32, steps: 32, enough: 256 };
const LONGEST_TILE: UpdateTileChoice = { subgroups: 4, columns: 32, steps: 64, enough: 256 };
/** For a weight so small that larger tiles leave most of a GPU idle. */
const SMALLEST_TILE: UpdateTileChoice = { subgroups: 2, columns: 32, steps: 2, enough: 0 };

/** The tiles for a weight of a format and so many sets of sums, from the largest on. */
function updateTensorTiles(type: Matrix["type"], sets: 1 | 2): readonly UpdateTileChoice[] {
  const large = sets === 2
    ? [LONGEST_TILE, LONG_TILE]
    : layoutOf(type) === "rows"
    ? [TALL_TILE]
    : [];
  return [...large, SMALL_TILE, SMALLEST_TILE];
}

/** Workgroups that write rows of so many columns. */
function workgroupsOf(tile: UpdateTensorTile, rows: number, columns: number): [number, number] {
  const { subgroups, steps } = tile;
  return [Math.ceil(columns / (tile.columns * steps)), Math.ceil(rows / (ROWS * subgroups))];
}

/** Rows and rank from which fragments are not mostly empty. */
const FEWEST_ROWS = 64;
const SMALLEST_RANK = 16;
/** Rank up to which an invocation has registers for the fragments of its coefficients. */
const LARGEST_RANK = 128;

/** Vectors of 16 bytes of workgroup memory that a row has, for its coefficients, then its sums. */
function longestRow({ columns }: UpdateTensorTile, rankSteps: number): number {
  return Math.max(5 * columns / 16, 2 * rankSteps + 1);
}

/** Whether a device has workgroup memory for the kernel with a tile and so many sets of sums. */
export function fitsUpdateTensor(
  { limits }: Pick<Device, "limits">,
  tile: UpdateTensorTile,
  rank: number,
  sets: 1 | 2,
): boolean {
  const rankSteps = Math.ceil(rank / 16);
  const rows = ROWS * tile.subgroups;
  const a = 16 * rankSteps * (tile.columns / 8 + 1);
  const bytes = 16 * (a + rows * longestRow(tile, rankSteps)) + 4 * sets * rows;
  return bytes <= limits.maxComputeWorkgroupStorageSize;
}

/** The tile by which the kernel writes all rows of a part; null where it cannot, or is not worth it. */
export function updateTensorTile(
  device: Device,
  { weight, rows, rank }: AdaptedPart,
  base: UpdateBase,
): UpdateTensorTile | null {
  const suits = supportsMatrix(device, F16_MATRIX) && rows >= FEWEST_ROWS &&
    rank >= SMALLEST_RANK && rank <= LARGEST_RANK;
  if (!suits) return null;
  const sets = setsOf(base);
  const tiles = updateTensorTiles(weight.type, sets)
    .filter((tile) => fitsUpdateTensor(device, tile, rank, sets));
  const isEnough = (tile: UpdateTileChoice) => {
    const [x, y] = workgroupsOf(tile, rows, weight.cols);
    return x * y >= tile.enough;
  };
  return tiles.find(isEnough) ?? tiles.at(-1) ?? null;
}

/** Operands of {@linkcode updateRowsTensor}, checked by the caller. */
export interface UpdateTensorOptions {
  part: AdaptedPart;
  base: UpdateBase;
  rounding?: StochasticRounding;
  results?: BufferView;
  tile: UpdateTensorTile;
  cost: DispatchCost;
}

/**
 * Records `weight[i] = encode(base[i] + β_i · A~)` for all rows. On a device without subgroup
 * matrices the same kernel runs with fragments emulated, which is for tests.
 */
export function updateRowsTensor(
  program: Program,
  { part, base, rounding, results, tile, cost }: UpdateTensorOptions,
): void {
  const { subgroups, columns, steps } = tile;
  const { weight, b, rowFactors, columnFactors, rows, rank } = part;
  const { device } = program;
  const inPlace = isInPlace(base);
  const change = changeOf(base);
  const short = inPlace && !!rounding;
  const rankSteps = Math.ceil(rank / 16);
  program.dispatch(
    device.kernel("falqon_update_tensor", {
      ...updateConstants(weight.type, short),
      SUBGROUPS: subgroups,
      COLUMNS: columns,
      LONGEST_ROW: longestRow(tile, rankSteps),
      STEPS: steps,
      RANK_STEPS: rankSteps,
      A_LOADS: Math.ceil(rankSteps * columns / (32 * subgroups)),
      IN_PLACE: inPlace,
      STOCHASTIC: !!rounding,
      RECOVERS: !!change,
      TURN: !!rounding && base === "in place",
      SETS: setsOf(base),
      HALVES: part.secondRow !== undefined,
      LOW: needsTwoParts(coefficientBits(weight.type, short)),
      EMULATE: !supportsMatrix(device, F16_MATRIX),
      FLAGS: !!results,
    }),
    {
      weight,
      b,
      row_factors: rowFactors,
      column_factors: columnFactors,
      ...(!inPlace && { base: base.codes }),
      ...(change && { b_change: change }),
      ...roundingBindings(rounding, base),
      ...(results && { results }),
    },
    {
      rows,
      vectors: weight.pitch / 16,
      w_row: part.wRow,
      base_row: inPlace ? 0 : base.row,
      a_row: part.aRow,
      ...(part.secondRow !== undefined && { second_row: part.secondRow }),
      rank,
      b_vectors: b.pitch / 4,
      ...roundingParams(rounding, weight.cols),
    },
    workgroupsOf(tile, rows, weight.pitch),
    cost,
  );
}
