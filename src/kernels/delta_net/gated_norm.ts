/**
 * The norm behind a delta net, times its gate, and its gradients.
 *
 * @module
 */

import type { Matrix, Vector } from "../../gpu/buffers.ts";
import { linearGrid, type Program } from "../../gpu/program.ts";
import { expectMatrix, expectVector } from "../shapes.ts";
import { addShares } from "./conv.ts";
import { checkMerged, ROW_THREADS } from "./shapes.ts";

/** What the norm reads; all f32. */
export interface GatedNormOperands {
  /** Value heads. */
  heads: number;
  /** [tokens, heads · dim] */
  input: Matrix;
  /** [tokens, any], with the gate from column `zColumn` on. */
  merged: Matrix;
  zColumn: number;
  /** [dim] */
  weight: Vector;
  /** Added to the mean square. */
  eps: number;
}

/** Operands of {@linkcode gatedNorm}. */
export interface GatedNormOptions extends GatedNormOperands {
  /** [tokens, heads · dim] */
  output: Matrix;
}

/** Records `output = input · rstd · weight · silu(z)`, head by head. */
export function gatedNorm(program: Program, options: GatedNormOptions): void {
  const { input: x, merged, weight, output, eps } = options;
  const params = checkOperands("gatedNorm", options);
  expectMatrix("gatedNorm", "output", output, { rows: x.rows, cols: x.cols });
  program.dispatch(
    program.device.kernel("gated_norm", { THREADS: ROW_THREADS }),
    { x, merged, weight, output },
    { ...params, eps },
    linearGrid(params.rows, 1),
    { bytes: 12 * x.rows * x.cols, label: `${params.rows}×${params.dim}` },
  );
}

/** Operands of {@linkcode gatedNormBackward}. */
export interface GatedNormBackwardOptions extends GatedNormOperands {
  /** [tokens, heads · dim]: the gradient of the output. */
  dOutput: Matrix;
  /** [tokens, heads · dim]: receives that of the input. */
  dInput: Matrix;
  /** Like `merged`: receives its gradient in the columns of z. */
  dMerged: Matrix;
  /** [dim]: gradient of the weight, added to; null where it is not trained. */
  dWeight: Vector | null;
}

/** The most shares that the rows are summed in, and the rows that a share has at least. */
const MOST_SHARES = 256;
const SHORTEST_SHARE = 32;

/** Records the gradients of {@linkcode gatedNorm}. */
export function gatedNormBackward(program: Program, options: GatedNormBackwardOptions): void {
  const { input: x, merged, weight, eps, dOutput, dInput, dMerged, dWeight, heads } = options;
  const params = checkOperands("gatedNormBackward", options);
  const { rows, dim } = params;
  expectMatrix("gatedNormBackward", "dOutput", dOutput, { rows: x.rows, cols: x.cols });
  expectMatrix("gatedNormBackward", "dInput", dInput, { rows: x.rows, cols: x.cols });
  expectMatrix("gatedNormBackward", "dMerged", dMerged, { rows: x.rows, cols: merged.cols });
  if (dWeight) expectVector("gatedNormBackward", "dWeight", dWeight, dim);
  if (rows === 0) return;
  const rstd = dWeight && program.scratch(x.rows, heads, "statistics of a gated norm");
  program.dispatch(
    program.device.kernel("gated_norm_backward", {
      THREADS: ROW_THREADS,
      STATISTICS: rstd !== null,
    }),
    {
      ...{ x, merged, weight, d_output: dOutput, d_x: dInput, d_merged: dMerged },
      ...(rstd && { rstd }),
    },
    { ...params, eps, ...(rstd && { rstd_pitch: rstd.pitch }) },
    linearGrid(rows, 1),
    { bytes: 20 * x.rows * x.cols, label: `${rows}×${dim}` },
  );
  if (!dWeight) return;
  const share = Math.max(SHORTEST_SHARE, Math.ceil(rows / MOST_SHARES));
  const shares = Math.ceil(rows / share);
  const partials = program.scratch(shares, dim, "partial weight gradients");
  program.dispatch(
    program.device.kernel("gated_norm_weight_gradient"),
    { x, merged, d_output: dOutput, rstd: rstd!, partials },
    {
      ...params,
      rstd_pitch: rstd!.pitch,
      partials_pitch: partials.pitch,
      share_rows: share,
    },
    [Math.ceil(partials.pitch / 64), shares],
  );
  addShares(program, partials, dWeight);
}

/** Checks the operands; returns the parameters that all kernels have. */
function checkOperands(kernel: string, options: GatedNormOperands) {
  const { heads, input, merged, zColumn, weight } = options;
  const { rows: tokens, cols, pitch } = input;
  const dim = cols / heads;
  if (!Number.isInteger(dim)) {
    throw new RangeError(`${kernel}: input has ${cols} columns, which are no ${heads} heads`);
  }
  expectMatrix(kernel, "input", input, { rows: tokens, cols });
  expectVector(kernel, "weight", weight, dim);
  checkMerged(kernel, "merged", merged, tokens, [zColumn + cols]);
  return { rows: tokens * heads, heads, dim, pitch, z_column: zColumn, z_pitch: merged.pitch };
}
