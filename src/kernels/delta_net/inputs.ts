/**
 * What a delta net reads: queries and keys divided by their norms, and its gates; and their gradients.
 *
 * @module
 */

import { columnsOf, type Matrix, type Vector } from "../../gpu/buffers.ts";
import { linearGrid, type Program } from "../../gpu/program.ts";
import { addColumnSums } from "../rows/column_sums.ts";
import { expectMatrix, expectVector } from "../shapes.ts";
import {
  channelsOf,
  checkDeltaHeads,
  checkMerged,
  type DeltaHeads,
  type MergedColumns,
  ROW_THREADS,
  THREADS,
} from "./shapes.ts";

/** Operands of {@linkcode normQueriesAndKeys}; all f32. */
export interface DeltaNormOptions {
  heads: DeltaHeads;
  /** [tokens, channels]: q, k and v beside each other; q and k are replaced. */
  qkv: Matrix;
  /** [tokens, 2 · keyHeads]: receives 1 / norm of each query and key, for the gradient. */
  rstd: Matrix | null;
}

/** Records dividing every query and key by its norm, and queries by √keyDim. */
export function normQueriesAndKeys(program: Program, { heads, qkv, rstd }: DeltaNormOptions): void {
  const { constants, params, grid, label } = normCall("normQueriesAndKeys", heads, qkv, rstd);
  program.dispatch(
    program.device.kernel("delta_norm", { ...constants, STATISTICS: rstd !== null }),
    { qkv, ...(rstd && { rstd }) },
    params,
    grid,
    { bytes: 16 * params.rows * heads.keyDim, label },
  );
}

/** Operands of {@linkcode normQueriesAndKeysBackward}. */
export interface DeltaNormBackwardOptions extends DeltaNormOptions {
  rstd: Matrix;
  /** [tokens, channels]: the gradient of what q and k became, that of what they were after. */
  dQkv: Matrix;
}

/** Records the gradient of {@linkcode normQueriesAndKeys}, in place. */
export function normQueriesAndKeysBackward(
  program: Program,
  { heads, qkv, rstd, dQkv }: DeltaNormBackwardOptions,
): void {
  const name = "normQueriesAndKeysBackward";
  const { constants, params, grid, label } = normCall(name, heads, qkv, rstd);
  expectMatrix(name, "dQkv", dQkv, { rows: qkv.rows, cols: qkv.cols });
  program.dispatch(
    program.device.kernel("delta_norm_backward", constants),
    { qkv, rstd, d: dQkv },
    params,
    grid,
    { bytes: 24 * params.rows * heads.keyDim, label },
  );
}

function normCall(kernel: string, heads: DeltaHeads, qkv: Matrix, rstd: Matrix | null) {
  const { keyHeads, keyDim } = heads;
  checkDeltaHeads(kernel, heads);
  const tokens = qkv.rows;
  expectMatrix(kernel, "qkv", qkv, { rows: tokens, cols: channelsOf(heads) });
  if (rstd) expectMatrix(kernel, "rstd", rstd, { rows: tokens, cols: 2 * keyHeads });
  const rows = tokens * 2 * keyHeads;
  return {
    constants: { THREADS: ROW_THREADS },
    params: {
      rows,
      key_heads: keyHeads,
      key_dim: keyDim,
      pitch: qkv.pitch,
      query_scale: keyDim ** -0.5,
      rstd_pitch: rstd?.pitch ?? 0,
    },
    grid: linearGrid(rows, 1),
    label: `${rows}×${keyDim}`,
  };
}

/** Operands of {@linkcode deltaGates}; all f32. */
export interface DeltaGatesOptions {
  /** Value heads. */
  heads: number;
  /** [tokens, any]: the merged output of the linear layers. */
  merged: Matrix;
  columns: Pick<MergedColumns, "a" | "b">;
  /** [heads] */
  aLog: Vector;
  /** [heads] */
  dtBias: Vector;
  /**
   * [tokens, 2 · heads]: receives −exp(aLog) · softplus(a + dtBias), the log of what states are
   * multiplied by, then sigmoid(b), how far they are corrected.
   */
  gates: Matrix;
}

/** Records the gates of a delta net. */
export function deltaGates(program: Program, options: DeltaGatesOptions): void {
  const { merged, aLog, dtBias, gates } = options;
  const params = checkGates("deltaGates", options);
  program.dispatch(
    program.device.kernel("delta_gates", { THREADS }),
    { input: merged, a_log: aLog, dt_bias: dtBias, gates },
    params,
    linearGrid(params.tokens * params.heads, THREADS),
    { bytes: 16 * params.tokens * params.heads },
  );
}

/** Operands of {@linkcode deltaGatesBackward}. */
export interface DeltaGatesBackwardOptions extends DeltaGatesOptions {
  /** Like `gates`: their gradient. */
  dGates: Matrix;
  /** Like `merged`: receives its gradient in the columns of a and b. */
  dMerged: Matrix;
  /** [1, heads] each: gradients of the parameters, added to; null where they are not trained. */
  parameters: { dALog: Matrix; dDtBias: Matrix } | null;
}

/** Records the gradients of {@linkcode deltaGates}. */
export function deltaGatesBackward(program: Program, options: DeltaGatesBackwardOptions): void {
  const { merged, aLog, dtBias, gates, dGates, dMerged, parameters, heads, columns } = options;
  const params = checkGates("deltaGatesBackward", options);
  const { tokens } = params;
  expectMatrix("deltaGatesBackward", "dGates", dGates, { rows: tokens, cols: 2 * heads });
  expectMatrix("deltaGatesBackward", "dMerged", dMerged, { rows: tokens, cols: merged.cols });
  if (tokens === 0) return;
  const decays = parameters && program.scratch(tokens, heads, "gradients of decays");
  program.dispatch(
    program.device.kernel("delta_gates_backward", { THREADS, DECAYS: decays !== null }),
    {
      ...{ input: merged, a_log: aLog, dt_bias: dtBias, gates, d_gates: dGates, d_input: dMerged },
      ...(decays && { decays }),
    },
    { ...params, ...(decays && { decays_pitch: decays.pitch }) },
    linearGrid(tokens * heads, THREADS),
    { bytes: 32 * tokens * heads },
  );
  if (!parameters) return;
  const { dALog, dDtBias } = parameters;
  addColumnSums(program, { input: columnsOf(decays!), out: columnsOf(dALog) });
  addColumnSums(program, {
    input: columnsOf(dMerged, columns.a, heads),
    out: columnsOf(dDtBias),
  });
}

function checkGates(kernel: string, options: DeltaGatesOptions) {
  const { heads, merged, columns: { a, b }, aLog, dtBias, gates } = options;
  const tokens = merged.rows;
  checkMerged(kernel, "merged", merged, tokens, [a + heads, b + heads]);
  expectVector(kernel, "aLog", aLog, heads);
  expectVector(kernel, "dtBias", dtBias, heads);
  expectMatrix(kernel, "gates", gates, { rows: tokens, cols: 2 * heads });
  return {
    tokens,
    heads,
    a_column: a,
    b_column: b,
    input_pitch: merged.pitch,
    gates_pitch: gates.pitch,
  };
}
