/**
 * RMSNorm of queries and keys between their projections and attention, together with their rotation;
 * its gradients are in `qk_norm_backward.ts`.
 *
 * @module
 */

import { ELEMENT_BYTES, type Matrix } from "../../gpu/buffers.ts";
import type { Program } from "../../gpu/program.ts";
import { expectMatrix } from "../shapes.ts";
import {
  checkRows,
  checkValues,
  isPart,
  type QkNormInputs,
  qkNormRows,
  suitsVec4,
} from "./qk_norm_rows.ts";
import { checkAngles, type RopeAngles, ropeConstants } from "./rope_angles.ts";

/** Operands and options of {@linkcode qkNorm}. */
export interface QkNormOptions extends QkNormInputs {
  /** Added to the mean square. */
  eps: number;
  /** The angles by which queries and keys are rotated then; null for not at all. */
  rotation: RopeAngles | null;
  /**
   * Of the shape and type of the matrix of q, k and v, or wider where that has no v or no k: receives
   * them in the same columns. Other columns are not touched.
   */
  output: Matrix;
  /** f32 [tokens, {@linkcode qkNormRows}]: receives 1 / sqrt(mean square + eps), for the gradients. */
  rstd: Matrix | null;
}

/**
 * Records `output = rotated(q · rstd · weight)`, and the same of k, row by row, computed in f32. q, k
 * and v are columns of one matrix, f32 or, where `rotatesF16` says so, f16.
 */
export function qkNorm(program: Program, options: QkNormOptions): void {
  const { q, k, v, headDim, eps, rotation, output, rstd, values = "copied" } = options;
  const shape = checkRows("qkNorm", options);
  const { rows: tokens, cols, type } = q.matrix;
  checkValues("qkNorm", options, output);
  const outputCols = isPart(options) ? output.cols : cols;
  expectMatrix("qkNorm", "output", output, { rows: tokens, cols: outputCols, types: [type] });
  if (rstd) expectMatrix("qkNorm", "rstd", rstd, { rows: tokens, cols: qkNormRows(options) });
  if (rotation) checkAngles("qkNorm", rotation, tokens, headDim);
  if (tokens === 0) return;
  // A thread takes vectors in pairs.
  const vec4 = suitsVec4(headDim, [q.column, k.column, v.column]);
  if (type !== "f32" && !vec4) throw new TypeError(`qkNorm: q is ${type}, not f32`);
  const { constants, params, grid } = shape.call(vec4, 2, values === "keys" ? 0 : v.cols);
  const width = vec4 ? 4 : 1;
  program.dispatch(
    program.device.kernel("qk_norm", {
      ...constants,
      ROTATED: rotation !== null,
      STATISTICS: rstd !== null,
      ...(rotation && ropeConstants(rotation, headDim, true)),
    }),
    {
      qkv: q.matrix,
      output,
      q_weight: options.qWeight,
      k_weight: options.kWeight ?? options.qWeight,
      ...(rstd && { rstd }),
      ...(rotation && { positions: rotation.positions, frequencies: rotation.frequencies }),
    },
    {
      ...params,
      v_column: v.column / width,
      out_pitch: output.pitch / width,
      half: headDim / 2 / width,
      rstd_pitch: rstd?.pitch ?? 0,
      eps,
    },
    grid,
    { bytes: 2 * ELEMENT_BYTES[type] * tokens * (q.cols + k.cols + v.cols), label: shape.label },
  );
}
