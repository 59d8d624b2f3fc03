/**
 * The causal convolution before a delta net, each channel of q, k and v by itself, with SiLU; and its
 * gradients.
 *
 * @module
 */

import type { BufferView, Matrix, Vector } from "../../gpu/buffers.ts";
import { linearGrid, type Program } from "../../gpu/program.ts";
import { expectMatrix, expectVector } from "../shapes.ts";
import {
  channelsOf,
  checkDeltaHeads,
  checkDocuments,
  checkMerged,
  type DeltaHeads,
  keyColumns,
  type MergedColumns,
  THREADS,
  valueColumns,
} from "./shapes.ts";

/** What the convolution reads; all f32. */
export interface ConvOperands {
  heads: DeltaHeads;
  /** Tokens that it sees, the last one the token itself. */
  width: number;
  /** [tokens, any]: the merged output of the linear layers. */
  merged: Matrix;
  columns: Pick<MergedColumns, "k" | "v">;
  /** [channels · width], by channel. */
  weight: Vector;
}

/** Operands of {@linkcode deltaConv}. */
export interface DeltaConvOptions extends ConvOperands {
  /** The documents, whose tokens do not see each other; or what the one document had before. */
  before: { documents: BufferView } | { history: Matrix };
  /** Receives [tokens, channels]: q, k and v beside each other. */
  output: Matrix;
}

/** Records `output = silu(convolution of q, k and v)`. */
export function deltaConv(program: Program, options: DeltaConvOptions): void {
  const { before, merged, weight, output, width } = options;
  const params = checkConv("deltaConv", options);
  const { tokens, channels } = params;
  expectMatrix("deltaConv", "output", output, { rows: tokens, cols: channels });
  const history = "history" in before ? before.history : null;
  if (history) expectHistory("deltaConv", history, options);
  else checkDocuments("deltaConv", (before as { documents: BufferView }).documents, tokens);
  if (tokens === 0) return;
  program.dispatch(
    program.device.kernel("delta_conv", { THREADS, WIDTH: width, HISTORY: history !== null }),
    { input: merged, weight, output, ...before },
    { ...params, output_pitch: output.pitch, ...(history && { history_pitch: history.pitch }) },
    linearGrid(tokens * output.pitch, THREADS),
    { bytes: 8 * tokens * channels, label: `${tokens}×${channels}` },
  );
}

/** Rows of the history of a convolution: at least one, so that there is a buffer. */
export function historyRows(width: number): number {
  return Math.max(1, width - 1);
}

/** Operands of {@linkcode moveConvHistory}. */
export interface ConvHistoryOptions extends Omit<ConvOperands, "weight"> {
  /** f32 [{@linkcode historyRows}, channels]: the last tokens, before and after those of `merged`. */
  history: Matrix;
}

/** Records moving a history on by the tokens of `merged`. */
export function moveConvHistory(program: Program, options: ConvHistoryOptions): void {
  const { merged, history, width } = options;
  const params = checkConv("moveConvHistory", options);
  expectHistory("moveConvHistory", history, options);
  if (params.tokens === 0 || width === 1) return;
  program.dispatch(
    program.device.kernel("delta_conv_history", { THREADS, WIDTH: width }),
    { input: merged, history },
    { ...params, history_pitch: history.pitch },
    linearGrid(params.channels, THREADS),
  );
}

/** Operands of {@linkcode deltaConvBackward}. */
export interface DeltaConvBackwardOptions extends ConvOperands {
  documents: BufferView;
  /** [tokens, channels]: the gradient of the output; that of the sums before SiLU after. */
  d: Matrix;
  /** Like `merged`: receives its gradient in the columns of q, k and v. */
  dMerged: Matrix;
  /** Gradient of the weight, added to; null where it is not trained. */
  dWeight: Vector | null;
}

/** The most shares that the tokens are summed in, and the tokens that a share has at least. */
const MOST_SHARES = 64;
const SHORTEST_SHARE = 32;

/** Records the gradients of {@linkcode deltaConv}. */
export function deltaConvBackward(program: Program, options: DeltaConvBackwardOptions): void {
  const { merged, weight, documents, d, dMerged, dWeight, width } = options;
  const { device } = program;
  const sizes = checkConv("deltaConvBackward", options);
  const { tokens, channels } = sizes;
  expectMatrix("deltaConvBackward", "d", d, { rows: tokens, cols: channels });
  expectMatrix("deltaConvBackward", "dMerged", dMerged, { rows: tokens, cols: merged.cols });
  checkDocuments("deltaConvBackward", documents, tokens);
  if (dWeight) expectVector("deltaConvBackward", "dWeight", dWeight, channels * width);
  if (tokens === 0) return;
  const params = { ...sizes, output_pitch: d.pitch };
  const constants = { THREADS, WIDTH: width };
  const grid = linearGrid(tokens * d.pitch, THREADS);
  const cost = { label: `${tokens}×${channels}` };
  program.dispatch(
    device.kernel("delta_conv_slope", constants),
    { input: merged, weight, d, documents },
    params,
    grid,
    { bytes: 12 * tokens * channels, ...cost },
  );
  program.dispatch(
    device.kernel("delta_conv_backward", constants),
    { d, weight, d_input: dMerged, documents },
    params,
    grid,
    { bytes: 8 * tokens * channels, ...cost },
  );
  if (!dWeight) return;
  const share = Math.max(SHORTEST_SHARE, Math.ceil(tokens / MOST_SHARES));
  const shares = Math.ceil(tokens / share);
  const partials = program.scratch(shares, channels * width, "partial weight gradients");
  program.dispatch(
    device.kernel("delta_conv_weight_gradient", { WIDTH: width }),
    { d, input: merged, partials, documents },
    { ...params, partials_pitch: partials.pitch, share_tokens: share },
    [Math.ceil(partials.pitch / 64), shares],
    cost,
  );
  addShares(program, partials, dWeight);
}

/** Records adding the sum of the rows of `partials` to a vector as long as they are. */
export function addShares(program: Program, partials: Matrix, out: Vector): void {
  const { rows: splits, cols, pitch } = partials;
  const vectors = Math.ceil(cols / 4);
  program.dispatch(
    program.device.kernel("sum_partials", { ACCUMULATE: true }),
    { partials, out },
    { rows: 1, vectors, pitch, out_pitch: 0, out_column: 0, splits },
    linearGrid(vectors, 64),
  );
}

/** Checks the operands; returns the parameters that all kernels have. */
function checkConv(kernel: string, options: Omit<ConvOperands, "weight"> & { weight?: Vector }) {
  const { heads, width, merged, columns: { k, v }, weight } = options;
  checkDeltaHeads(kernel, heads);
  const [keys, channels] = [keyColumns(heads), channelsOf(heads)];
  const tokens = merged.rows;
  checkMerged(kernel, "merged", merged, tokens, [keys, k + keys, v + valueColumns(heads)]);
  if (weight) expectVector(kernel, "weight", weight, channels * width);
  return { tokens, channels, keys, k_column: k, v_column: v, input_pitch: merged.pitch };
}

function expectHistory(
  kernel: string,
  history: Matrix,
  { heads, width }: Pick<ConvOperands, "heads" | "width">,
): void {
  expectMatrix(kernel, "history", history, { rows: historyRows(width), cols: channelsOf(heads) });
}
