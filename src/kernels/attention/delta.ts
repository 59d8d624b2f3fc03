/**
 * The first step of the attention backward: one number per query and head, Σ dOutput · output.
 *
 * @module
 */

import type { Matrix } from "../../gpu/buffers.ts";
import { linearGrid, type Program } from "../../gpu/program.ts";
import type { AttentionBackwardOptions } from "./shapes.ts";

/** Elements of delta that a workgroup makes. */
const DELTA_ITEMS = 16;

/** Threads that read a head together. */
const LANES = 8;

/**
 * Records `delta[t, h] = Σ dOutput[t, h, :] · output[t, h, :]`.
 *
 * @param delta Receives f32 [tokens, heads]; rows after the last token are not touched.
 * @param label With it, the largest magnitudes in dOutput are found as well, in scratch memory of
 * that label.
 * @returns that memory: one f32 element per workgroup, in one row.
 */
export function attentionDelta(
  program: Program,
  { output, dOutput, heads, headDim }: AttentionBackwardOptions,
  delta: Matrix,
  label?: string,
): Matrix | null {
  const tokens = dOutput.rows;
  const grid = linearGrid(tokens * delta.pitch, DELTA_ITEMS);
  const width = headDim % 4 ? 2 : 4; // elements of a vector
  const LOADS = Math.ceil(headDim / width / LANES);
  const maxima = label === undefined ? null : program.scratch(1, grid[0] * grid[1], label);
  program.dispatch(
    program.device.kernel("attention_backward_delta", {
      VEC4: width === 4,
      OUTPUT: output.type,
      LOADS,
      MAXIMA: maxima !== null,
    }),
    { output, d_output: dOutput, delta, ...(maxima && { maxima }) },
    {
      tokens,
      heads,
      head_vectors: headDim / width,
      output_pitch: output.pitch / width,
      d_output_pitch: dOutput.pitch / width,
      statistics_pitch: delta.pitch,
    },
    grid,
  );
  return maxima;
}

/**
 * Records the same, and finds the power of two that brings the largest magnitude of dOutput into
 * [2ᵉ, 2ᵉ⁺¹).
 *
 * @returns f32 [tokens + 1, heads]: delta, and in the row after the last token the power of two and
 * its inverse.
 */
export function attentionScaledDelta(
  program: Program,
  options: AttentionBackwardOptions,
  exponent: number,
): Matrix {
  const tokens = options.dOutput.rows;
  const delta = program.scratch(tokens + 1, options.heads, "attention delta");
  const maxima = attentionDelta(program, options, delta, "attention gradient maxima")!;
  program.dispatch(
    program.device.kernel("attention_gradient_scale"),
    { maxima, scales: delta },
    { count: maxima.cols, at: tokens * delta.pitch, exponent },
    [1],
  );
  return delta;
}
