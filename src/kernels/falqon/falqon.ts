/**
 * The weight update of FALQON on FP8 codes. The rules and their arithmetic:
 * tests/oracle/falqon_update.ts.
 *
 * @module
 */

import type { BufferView, Matrix, Vector } from "../../gpu/buffers.ts";
import type { Device } from "../../gpu/device.ts";
import { FORMATS } from "../../numerics/formats.ts";
import { linearGrid, type Program } from "../../gpu/program.ts";
import {
  suitsTensorUpdate,
  UPDATE_TENSOR_TILE,
  updateRowsTensor,
  type UpdateTensorTile,
} from "./tensor.ts";
import type { AdaptedPart } from "./adapted_part.ts";
import { expectMatrix, expectVector } from "../shapes.ts";

/**
 * The format for which the kernels are written: sums in them are exact because its values have at
 * most 4 bits.
 */
const UPDATE_TYPES = [FORMATS.e4m3.name];

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

/** Which rows are written. */
export interface Selection {
  /** u32 [count] */
  rows: Vector;
  count: number;
}

/** Operands and options of {@linkcode scoreRows}. */
export interface ScoreRowsOptions {
  /** f32 [rows, rank] */
  b: Matrix;
  /** f32 [rows]: receives Σ_j |pending|. */
  scores: Vector;
  /** What the codes already hold of b, and room for the rest; without them all of b is pending. */
  pending?: { flushed: Matrix; delta: Matrix };
}

/** Records how much is pending in each row of B. */
export function scoreRows(program: Program, { b, scores, pending }: ScoreRowsOptions): void {
  const { rows, cols } = b;
  expectVector("scoreRows", "scores", scores, rows);
  for (const [name, matrix] of Object.entries({ b, ...pending })) {
    expectMatrix("scoreRows", name, matrix, { rows, cols });
  }
  program.dispatch(
    program.device.kernel("falqon_scores", { FLUSHED: !!pending }),
    { b, scores, ...pending },
    { rows, rank: cols, pitch: b.pitch },
    [Math.ceil(rows / 64)],
  );
}

/** Records the choice of the rows with the largest scores, the lower index first among equals. */
export function selectRows(program: Program, scores: Vector, selection: Selection): void {
  const rows = scores.length;
  checkSelection("selectRows", selection, rows);
  program.dispatch(
    program.device.kernel("falqon_select"),
    { scores, selected: selection.rows },
    { rows, count: selection.count },
    [Math.ceil(rows / 128)],
  );
}

/** Where written rows start from: frozen codes, their first row given, or the weight itself. */
export type UpdateBase = { codes: Matrix; row: number } | "in place";

/** Operands and options of {@linkcode updateRows}. */
export interface UpdateRowsOptions {
  part: AdaptedPart;
  base: UpdateBase;
  /** The rows to write; null for all. */
  selection: Selection | null;
  /** f32 [selection.count, inputs]: receives what the codes of each written row changed by. */
  change?: Matrix;
  /**
   * The kernel and its tile, for measurements. Default: chosen by the device and the number of
   * rows.
   */
  tile?: UpdateTile | UpdateTensorTile;
}

/**
 * Records `weight[i] = encode(base[i] + β_i · A~)` for the selected rows.
 *
 * Where all rows are written from a base on a device with subgroup matrices, tensor cores take the
 * sums. Their codes are the same in every run, and those of the other kernels and the CPU except
 * where a sum is within its rounding of a tie.
 */
export function updateRows(program: Program, options: UpdateRowsOptions): void {
  const { part, base, selection, change } = options;
  const { weight, b, rowFactors, columnFactors } = part;
  const inPlace = base === "in place";
  const count = selection?.count ?? part.rows;
  checkPart("updateRows", part, base, selection);
  if (change) expectMatrix("updateRows", "change", change, { rows: count, cols: weight.cols });
  const tile = options.tile ?? updateTile(program.device, options);
  const cost = {
    flops: 2 * count * weight.cols * part.rank,
    bytes: count * (2 * weight.pitch + b.pitch * 4) + part.rank * weight.pitch,
    label: `${count}×${weight.cols} rank ${part.rank}`,
  };
  if ("subgroups" in tile) {
    if (inPlace || selection || change) {
      throw new RangeError("updateRows: tensor cores write all rows from a base, without change");
    }
    updateRowsTensor(program, { part, base, tile, cost });
    return;
  }
  const { BM, BN, BK, TM, TN } = tile;
  const threads = (BM / TM) * (BN / TN);
  program.dispatch(
    program.device.kernel("falqon_update", {
      ...tile,
      BETA_LOADS: Math.ceil(BK * BM / 4 / threads),
      A_LOADS: Math.ceil(BK * BN / 4 / threads),
      ALL_ROWS: !selection,
      IN_PLACE: inPlace,
      CHANGE: !!change,
    }),
    {
      weight,
      b,
      row_factors: rowFactors,
      column_factors: columnFactors,
      ...(selection && { selected: selection.rows }),
      ...(!inPlace && { base: base.codes }),
      ...(change && { change }),
    },
    { count, ...rowParams(part, base) },
    [Math.ceil(weight.pitch / BN), Math.ceil(count / BM)],
    cost,
  );
}

/** Operands and options of {@linkcode measureUpdate}. */
export interface MeasureUpdateOptions extends Omit<UpdateRowsOptions, "change"> {
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
  const { part, base, selection, pending, statistics } = options;
  const inPlace = base === "in place";
  const { rows, rank } = part;
  checkPart("measureUpdate", part, base, selection);
  expectMatrix("measureUpdate", "pending", pending, { rows, cols: rank });
  if (statistics.size < 16 * rows) {
    throw new RangeError(`measureUpdate: statistics has no room for ${rows} rows`);
  }
  program.dispatch(
    program.device.kernel("falqon_statistics", { ALL_ROWS: !selection, IN_PLACE: inPlace }),
    {
      weight: part.weight,
      b: part.b,
      row_factors: part.rowFactors,
      column_factors: part.columnFactors,
      ...(selection && { selected: selection.rows }),
      ...(!inPlace && { base: base.codes, pending }),
      statistics,
    },
    { rows, count: selection?.count ?? rows, ...rowParams(part, base) },
    linearGrid(rows, 1),
  );
}

/** Operands and options of {@linkcode markFlushed}. */
export interface MarkFlushedOptions {
  b: Matrix;
  selection: Selection;
  flushed: Matrix;
  delta: Matrix;
}

/** Records that nothing of the written rows is pending any more. */
export function markFlushed(program: Program, options: MarkFlushedOptions): void {
  const { b, selection, flushed, delta } = options;
  const { count } = selection;
  for (const [name, matrix] of Object.entries({ b, flushed, delta })) {
    expectMatrix("markFlushed", name, matrix, { rows: b.rows, cols: b.cols });
  }
  checkSelection("markFlushed", selection, b.rows);
  program.dispatch(
    program.device.kernel("falqon_flush", { RESIDUE: false }),
    { selected: selection.rows, b, flushed, delta },
    { count, rank: b.cols, pitch: b.pitch },
    linearGrid(count * b.cols, 64),
  );
}

/** Operands and options of {@linkcode subtractRealized}. */
export interface SubtractRealizedOptions {
  part: AdaptedPart;
  selection: Selection;
  /** f32 [count, rank]: the realized change as coefficients of A~. */
  realized: Matrix;
}

/** Records that the written rows of B keep only what rounding did not realize. */
export function subtractRealized(program: Program, options: SubtractRealizedOptions): void {
  const { part: { b, rowFactors, columnFactors }, selection, realized } = options;
  const { rows, cols } = b;
  expectMatrix("subtractRealized", "b", b, { rows, cols });
  expectMatrix("subtractRealized", "realized", realized, { rows: selection.count, cols });
  expectVector("subtractRealized", "rowFactors", rowFactors, rows);
  expectVector("subtractRealized", "columnFactors", columnFactors, cols);
  checkSelection("subtractRealized", selection, rows);
  program.dispatch(
    program.device.kernel("falqon_flush", { RESIDUE: true }),
    {
      selected: selection.rows,
      b,
      residue: realized,
      row_factors: rowFactors,
      column_factors: columnFactors,
    },
    { count: selection.count, rank: cols, pitch: b.pitch },
    linearGrid(selection.count * cols, 64),
  );
}

/** Checks that a part and what its rows start from lie inside their codes. */
function checkPart(
  kernel: string,
  { weight, wRow, aRow, rows, rank, rowFactors, columnFactors, b }: AdaptedPart,
  base: UpdateBase,
  selection: Selection | null,
): void {
  expectMatrix(kernel, "weight", weight, { ...weight, types: UPDATE_TYPES });
  expectMatrix(kernel, "b", b, { rows, cols: rank });
  expectVector(kernel, "rowFactors", rowFactors, rows);
  expectVector(kernel, "columnFactors", columnFactors, rank);
  if (Math.max(wRow + rows, aRow + rank) > weight.rows) {
    throw new RangeError(
      `${kernel}: ${rows} rows from ${wRow} on and ${rank} from ${aRow} on are not all ` +
        `among the ${weight.rows} of the weight`,
    );
  }
  if (base !== "in place") {
    const { rows: height } = base.codes;
    expectMatrix(kernel, "base", base.codes, {
      rows: height,
      cols: weight.cols,
      types: UPDATE_TYPES,
    });
    if (base.row + rows > height) {
      throw new RangeError(
        `${kernel}: ${rows} rows from ${base.row} on are not all among the ${height} of the base`,
      );
    }
  }
  if (selection) checkSelection(kernel, selection, rows);
}

function checkSelection(kernel: string, { rows, count }: Selection, among: number): void {
  if (count > among || count > rows.length) {
    throw new RangeError(
      `${kernel}: a selection of ${count} rows does not fit ${rows.length} places ` +
        `and ${among} rows`,
    );
  }
}

function updateTile(
  device: Device,
  { part, base, selection, change }: UpdateRowsOptions,
): UpdateTile | UpdateTensorTile {
  if ((selection?.count ?? part.rows) <= FEW_ROWS.BM) return FEW_ROWS;
  const plain = base !== "in place" && !selection && !change;
  if (plain && suitsTensorUpdate(device, part)) return UPDATE_TENSOR_TILE;
  return device.isFallback ? ALL_ROWS_FALLBACK : ALL_ROWS;
}

function rowParams(part: AdaptedPart, base: UpdateBase) {
  return {
    vectors: part.weight.pitch / 4,
    w_row: part.wRow,
    base_row: base === "in place" ? 0 : base.row,
    a_row: part.aRow,
    rank: part.rank,
    b_pitch: part.b.pitch,
  };
}
