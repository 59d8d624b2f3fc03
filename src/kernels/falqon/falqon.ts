/**
 * The weight update of FALQON on the codes of a weight, and its measurement. The rules and their
 * arithmetic: tests/oracle/falqon_update.ts.
 *
 * @module
 */

import type { BufferView, Matrix } from "../../gpu/buffers.ts";
import type { Device } from "../../gpu/device.ts";
import { type Bindings, linearGrid, type Program } from "../../gpu/program.ts";
import type { KernelConstants } from "../../gpu/template.ts";
import { updateRowsTensor, type UpdateTensorTile, updateTensorTile } from "./tensor.ts";
import {
  type AdaptedPart,
  changeOf,
  checkPart,
  isInPlace,
  type Selection,
  type UpdateBase,
} from "./adapted_part.ts";
import { roundingBindings, roundingParams, type StochasticRounding } from "./rounding.ts";
import { updateConstants } from "./update_format.ts";
import { expectMatrix } from "../shapes.ts";

/** Tile sizes of {@linkcode updateRows}, all multiples of 4. */
export interface UpdateTile {
  /** Rows and columns of the weight that a workgroup writes. */
  BM: number;
  BN: number;
  /** Length of the rank that is in workgroup memory at a time. */
  BK: number;
  /** Rows and columns that a thread writes. */
  TM: number;
  TN: number;
}

const ALL_ROWS: UpdateTile = { BM: 64, BN: 128, BK: 16, TM: 8, TN: 8 };
/** Half the code to compile, and larger tiles. */
const ALL_ROWS_FALLBACK: UpdateTile = { BM: 128, BN: 128, BK: 8, TM: 8, TN: 8 };
/** For the few rows of a selection. */
const FEW_ROWS: UpdateTile = { BM: 16, BN: 128, BK: 16, TM: 4, TN: 4 };

/** Operands and options of {@linkcode updateRows}. */
export interface UpdateRowsOptions {
  part: AdaptedPart;
  base: UpdateBase;
  /** The rows to write; null for all. */
  selection: Selection | null;
  /**
   * Rounds each value to one of its two neighbours by a threshold, such that it arrives on average; only
   * for all rows. Default: to nearest.
   */
  rounding?: StochasticRounding;
  /** f32 [selection.count, inputs]: receives what the codes of each written row changed by. */
  change?: Matrix;
  /**
   * `StepResults` of the step: told that it is not finite where what B asks for is NaN, infinite or near
   * it, as codes would make numbers of that. Default: nobody is told.
   */
  results?: BufferView;
  /**
   * The kernel and its tile, for measurements. Default: chosen by the device and the number of
   * rows.
   */
  tile?: UpdateTile | UpdateTensorTile;
}

/**
 * Records `weight[i] = encode(base[i] + β_i · A~)` for the selected rows.
 *
 * Where all rows are written on a device with subgroup matrices, tensor cores take the sums. Their
 * codes are the same in every run, and those of the other kernels and the CPU except where a sum is
 * within its rounding of a tie, or of the threshold.
 *
 * In place with `rounding`, B is the change of one step, and codes start from what they are. Given B's
 * change as the base, B is all of it, and codes start from what they were before training. 11 bits of
 * coefficients are used in both.
 */
export function updateRows(program: Program, options: UpdateRowsOptions): void {
  const { part, base, selection, rounding, change, results } = options;
  const { weight, b } = part;
  const count = selection?.count ?? part.rows;
  check("updateRows", options);
  if (change) expectMatrix("updateRows", "change", change, { rows: count, cols: weight.cols });
  const tile = options.tile ?? updateTile(program.device, options);
  const cost = {
    flops: 2 * count * weight.cols * part.rank,
    bytes: count * (2 * weight.pitch + b.pitch * 4) + part.rank * weight.pitch,
    label: `${count}×${weight.cols} rank ${part.rank}`,
  };
  if ("subgroups" in tile) {
    if (selection || change) {
      throw new RangeError("updateRows: tensor cores write all rows, without change");
    }
    updateRowsTensor(program, { part, base, rounding, results, tile, cost });
    return;
  }
  const { BM, BN, BK, TM, TN } = tile;
  const threads = (BM / TM) * (BN / TN);
  program.dispatch(
    program.device.kernel("falqon_update", {
      ...tile,
      BETA_LOADS: Math.ceil(BK * BM / 4 / threads),
      A_LOADS: Math.ceil(BK * BN / 4 / threads),
      ...rowConstants(options),
      CHANGE: !!change,
      FLAGS: !!results,
    }),
    { ...rowBindings(options), ...(change && { change }), ...(results && { results }) },
    { count, ...(change && { change_vectors: change.pitch / 4 }), ...rowParams(options) },
    [Math.ceil(weight.pitch / BN), Math.ceil(count / BM)],
    cost,
  );
}

/** Operands and options of {@linkcode measureUpdate}. */
export interface MeasureUpdateOptions extends Omit<UpdateRowsOptions, "change" | "results"> {
  /** f32 [rows, rank]: what B asks for since each row was written; not read in place. */
  pending: Matrix;
  /**
   * f32 [rows, 4]: codes that will differ, values beyond the format's maximum, ⟨U, U⟩ and ⟨R, U⟩ in
   * code units.
   */
  statistics: BufferView;
}

/** Records the measurement of what {@linkcode updateRows} with the same arguments will do. */
export function measureUpdate(program: Program, options: MeasureUpdateOptions): void {
  const { part: { rows, rank }, base, selection, pending, statistics } = options;
  check("measureUpdate", options);
  expectMatrix("measureUpdate", "pending", pending, { rows, cols: rank });
  if (statistics.size < 16 * rows) {
    throw new RangeError(`measureUpdate: statistics has no room for ${rows} rows`);
  }
  program.dispatch(
    program.device.kernel("falqon_statistics", { ...rowConstants(options), FLAGS: false }),
    { ...rowBindings(options), ...(!isInPlace(base) && { pending }), statistics },
    { rows, count: selection?.count ?? rows, ...rowParams(options) },
    linearGrid(rows, 1),
  );
}

/** What to write, and from what. */
type RowsOptions = Pick<UpdateRowsOptions, "part" | "base" | "selection" | "rounding">;

function check(kernel: string, { part, base, selection, rounding }: RowsOptions): void {
  checkPart(kernel, part, base, selection);
  if (rounding && selection) {
    throw new RangeError(`${kernel}: stochastic rounding writes all rows, not a selection`);
  }
  if (changeOf(base) && !rounding) {
    throw new RangeError(
      `${kernel}: codes before training are recovered from thresholds, so give rounding`,
    );
  }
}

function updateTile(
  device: Device,
  { part, base, selection, change }: UpdateRowsOptions,
): UpdateTile | UpdateTensorTile {
  if ((selection?.count ?? part.rows) <= FEW_ROWS.BM) return FEW_ROWS;
  const tensor = selection || change ? null : updateTensorTile(device, part, base);
  if (tensor) return tensor;
  return device.isFallback ? ALL_ROWS_FALLBACK : ALL_ROWS;
}

/** Constants, bindings and parameters of wgsl/falqon/falqon_part.wgsl. */
function rowConstants({ part, base, selection, rounding }: RowsOptions): KernelConstants {
  const inPlace = isInPlace(base);
  return {
    ...updateConstants(part.weight.type, inPlace && !!rounding),
    ALL_ROWS: !selection,
    IN_PLACE: inPlace,
    STOCHASTIC: !!rounding,
    RECOVERS: !!changeOf(base),
    TURN: !!rounding && base === "in place",
    HALVES: part.secondRow !== undefined,
  };
}

function rowBindings({ part, base, selection, rounding }: RowsOptions): Bindings {
  return {
    weight: part.weight,
    b: part.b,
    row_factors: part.rowFactors,
    column_factors: part.columnFactors,
    ...(selection && { selected: selection.rows }),
    ...(!isInPlace(base) && { base: base.codes }),
    ...(changeOf(base) && { b_change: changeOf(base)! }),
    ...roundingBindings(rounding, base),
  };
}

function rowParams({ part, base, rounding }: RowsOptions): Record<string, number> {
  return {
    vectors: part.weight.pitch / 4,
    w_row: part.wRow,
    base_row: isInPlace(base) ? 0 : base.row,
    a_row: part.aRow,
    ...(part.secondRow !== undefined && { second_row: part.secondRow }),
    rank: part.rank,
    b_pitch: part.b.pitch,
    ...roundingParams(rounding, part.weight.cols),
  };
}
