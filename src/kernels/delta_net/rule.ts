/**
 * The gated delta rule over a stream of packed documents, and its gradients.
 *
 * Forward, and backward for values and states, are scans token by token, in which the columns of a
 * state and documents do not depend on each other. What queries, keys and gates get is computed from
 * what the scans leave every {@linkcode CHUNK} tokens, all chunks side by side.
 *
 * @module
 */

import { type BufferView, type Matrix, roundUp } from "../../gpu/buffers.ts";
import type { Device } from "../../gpu/device.ts";
import type { Program } from "../../gpu/program.ts";
import { expectMatrix } from "../shapes.ts";
import {
  channelsOf,
  checkDeltaHeads,
  checkDocuments,
  type DeltaHeads,
  keyColumns,
  valueColumns,
} from "./shapes.ts";

/** Columns of a state that a workgroup of a scan has, and the threads that share a column. */
const COLUMNS = 32;
const PARTS = 4;
/** Documents that begin among so many tokens are scanned by one workgroup. */
const SEGMENT = 64;
/** Tokens from one kept state to the next. */
export const CHUNK = 32;
/** Bytes of the states that are kept at a time, where a binding may be so large. */
const STATE_BYTES = 1 << 28;
/** Threads of the kernels that go by chunks, tokens that a thread has at a time, columns of a tile. */
const CHUNK_THREADS = { keys: 64, gates: 128 };
const TOKENS = 8;
const TILE = 32;

/** What the rule reads; all f32. */
export interface DeltaRuleInputs {
  heads: DeltaHeads;
  /** [tokens, channels]: q, k and v beside each other, as `normQueriesAndKeys` leaves them. */
  qkv: Matrix;
  /** [tokens, 2 · valueHeads]: see `deltaGates`. */
  gates: Matrix;
}

/** Operands of {@linkcode deltaRule}. */
export interface DeltaRuleOptions extends DeltaRuleInputs {
  /**
   * The documents; or the states of the one document that goes on, f32 [{@linkcode stateRows}, {@linkcode
   * stateCols}], which are read and written.
   */
  from: { documents: BufferView } | { states: Matrix };
  /** Receives [tokens, valueHeads · valueDim]. */
  output: Matrix;
}

/** Rows of the states of a delta net: one per component of a value. */
export function stateRows(heads: DeltaHeads): number {
  return valueColumns(heads);
}

/** Columns of the states of a delta net: the components of a key, and zeros. */
export function stateCols({ keyDim }: DeltaHeads): number {
  return roundUp(keyDim, 4 * PARTS);
}

/**
 * Records, token by token for each value head, `S ← decay·S; S += k·(beta·(v − Sᵀk))ᵀ; output = Sᵀq`.
 */
export function deltaRule(program: Program, options: DeltaRuleOptions): void {
  const { heads, from, qkv, gates, output } = options;
  const { params } = checkRule("deltaRule", options);
  const { tokens } = params;
  expectMatrix("deltaRule", "output", output, { rows: tokens, cols: valueColumns(heads) });
  const states = "states" in from ? from.states : null;
  if (states) {
    expectMatrix("deltaRule", "states", states, { rows: stateRows(heads), cols: stateCols(heads) });
  } else checkDocuments("deltaRule", (from as { documents: BufferView }).documents, tokens);
  if (tokens === 0) return;
  program.dispatch(
    program.device.kernel("delta_scan", {
      ...scanConstants(heads),
      CARRIED: states !== null,
      CHECKPOINTS: false,
    }),
    { qkv, gates, output, ...from },
    {
      ...params,
      first_head: 0,
      call_heads: heads.valueHeads,
      segment: SEGMENT,
      output_pitch: output.pitch,
    },
    scanGrid(heads, heads.valueHeads, states ? 1 : tokens),
    costOf(tokens, heads, 8),
  );
}

/** Operands of {@linkcode deltaRuleBackward}. */
export interface DeltaRuleBackwardOptions extends DeltaRuleInputs {
  documents: BufferView;
  /** The gradient of the output. */
  dOutput: Matrix;
  /** Like `qkv`: receives its gradient. */
  dQkv: Matrix;
  /** Like `gates`: receives their gradient. */
  dGates: Matrix;
}

/** Records the gradients of {@linkcode deltaRule}. The states are made again, for some heads at a time. */
export function deltaRuleBackward(program: Program, options: DeltaRuleBackwardOptions): void {
  const { heads, qkv, gates, documents, dOutput, dQkv, dGates } = options;
  const { device } = program;
  const { params } = checkRule("deltaRuleBackward", options);
  const { tokens, group } = params;
  const values = valueColumns(heads);
  expectMatrix("deltaRuleBackward", "dOutput", dOutput, { rows: tokens, cols: values });
  expectMatrix("deltaRuleBackward", "dQkv", dQkv, { rows: tokens, cols: qkv.cols });
  expectMatrix("deltaRuleBackward", "dGates", dGates, { rows: tokens, cols: gates.cols });
  checkDocuments("deltaRuleBackward", documents, tokens);
  if (tokens === 0) return;
  const chunks = Math.ceil(tokens / CHUNK);
  const KEY_DIM = stateCols(heads);
  const half = roundUp(values, 16);
  const errors = program.scratch(tokens, 2 * half, "errors of delta nets");
  const most = headsAtATime(device, heads, chunks);
  const scan = { ...scanConstants(heads), CHUNK };
  for (let first = 0; first < heads.valueHeads; first += most) {
    const count = Math.min(most, heads.valueHeads - first);
    const rows = chunks * count * heads.valueDim;
    const states = program.scratch(2 * rows, KEY_DIM, "states of delta nets");
    const common = { ...params, first_head: first, call_heads: count };
    const cost = (flopsOfState: number) =>
      costOf(tokens, { ...heads, valueHeads: count }, flopsOfState);
    const pitches = { output_pitch: dOutput.pitch, errors_pitch: errors.pitch, errors_half: half };
    program.dispatch(
      device.kernel("delta_scan", { ...scan, CARRIED: false, CHECKPOINTS: true }),
      { qkv, gates, errors, documents, states },
      { ...common, segment: SEGMENT, output_pitch: errors.pitch },
      scanGrid(heads, count, tokens),
      cost(8),
    );
    program.dispatch(
      device.kernel("delta_scan_backward", scan),
      { qkv, gates, documents, d_output: dOutput, errors, states, d_qkv: dQkv },
      { ...common, ...pitches, segment: SEGMENT, states_half: rows * KEY_DIM / 4 },
      scanGrid(heads, count, tokens),
      cost(8),
    );
    const byChunk = { CHUNK, KEY_DIM };
    const halves = { ...pitches, states_half: rows * KEY_DIM };
    program.dispatch(
      device.kernel("delta_key_gradients", {
        ...byChunk,
        THREADS: CHUNK_THREADS.keys,
        TOKENS,
        TILE,
        VALUES: 3 * TOKENS * TILE,
        TERMS: TOKENS * CHUNK_THREADS.keys,
      }),
      {
        ...{ qkv, gates, documents, d_output: dOutput, errors, states },
        ...{ d_qkv: dQkv, d_gates: dGates },
      },
      { ...common, ...halves },
      [chunks, count / group],
      cost(6),
    );
    program.dispatch(
      device.kernel("delta_gate_gradients", { ...byChunk, THREADS: CHUNK_THREADS.gates }),
      { qkv, gates, documents, d_output: dOutput, errors, states, d_gates: dGates },
      { ...common, ...halves },
      [chunks, count],
    );
  }
}

/** Value heads, all of each key head, whose states are kept together. */
function headsAtATime(device: Device, heads: DeltaHeads, chunks: number): number {
  const group = heads.valueHeads / heads.keyHeads;
  const bytes = 2 * chunks * heads.valueDim * stateCols(heads) * 4;
  const fit = Math.floor(Math.min(STATE_BYTES, device.bindingLimit) / bytes);
  return Math.max(group, Math.min(heads.valueHeads, Math.floor(fit / group) * group));
}

function scanConstants(heads: DeltaHeads) {
  const KEY_VECTORS = stateCols(heads) / 4;
  const THREADS = COLUMNS * PARTS;
  return {
    THREADS,
    COLUMNS,
    PARTS,
    VECTORS: KEY_VECTORS / PARTS,
    KEY_VECTORS,
    STAGED: 4 * KEY_VECTORS,
    SUMMED: 2 * THREADS,
  };
}

function scanGrid(
  { valueDim }: DeltaHeads,
  heads: number,
  tokens: number,
): [number, number, number] {
  return [Math.ceil(valueDim / COLUMNS), heads, Math.ceil(tokens / SEGMENT)];
}

function costOf(tokens: number, { valueHeads, valueDim, keyDim }: DeltaHeads, flops: number) {
  return {
    flops: flops * tokens * valueHeads * valueDim * keyDim,
    label: `${tokens}×${valueHeads}×${keyDim}×${valueDim}`,
  };
}

/** Checks the operands; returns the parameters that all kernels have. */
function checkRule(kernel: string, { heads, qkv, gates }: DeltaRuleInputs) {
  checkDeltaHeads(kernel, heads);
  const { keyHeads, keyDim, valueHeads, valueDim } = heads;
  const tokens = qkv.rows;
  expectMatrix(kernel, "qkv", qkv, { rows: tokens, cols: channelsOf(heads) });
  expectMatrix(kernel, "gates", gates, { rows: tokens, cols: 2 * valueHeads });
  return {
    params: {
      tokens,
      key_dim: keyDim,
      value_dim: valueDim,
      keys: keyColumns(heads),
      group: valueHeads / keyHeads,
      heads: valueHeads,
      pitch: qkv.pitch,
      gates_pitch: gates.pitch,
    },
  };
}
