/**
 * Rows of an update that are not yet written into the codes act beside them: `c·(x·Aᵀ)·(B − B_flushed)ᵀ` in the forward
 * pass, and its gradient through A.
 *
 * @module
 */

import { columnsOf, type Matrix } from "../../gpu/buffers.ts";
import type { Program } from "../../gpu/program.ts";
import { gemm } from "../../kernels/gemm/gemm.ts";
import type { FalqonSettings } from "./settings.ts";
import type { FalqonUpdate } from "./update.ts";

/**
 * Records `output += c·(x·Aᵀ)·(B − B_flushed)ᵀ` for every adapted part.
 *
 * @param xA f32 [tokens, width of the adapter layout]
 * @param output f32 [tokens, width of the layer]
 */
export function addPending(
  program: Program,
  updates: readonly FalqonUpdate[],
  { rank, loraScale }: FalqonSettings,
  xA: Matrix,
  output: Matrix,
): void {
  for (const { adapter: { part, start }, pendingB } of updates) {
    gemm(program, {
      layout: "nt",
      a: columnsOf(xA, start, rank),
      b: pendingB!,
      out: columnsOf(output, part.start, part.rows),
      alpha: loraScale,
      accumulate: true,
    });
  }
}

/**
 * Records `out = c·G·(B − B_flushed)`, the gradient that the pending rows send through A.
 *
 * @param dOutput f32 [tokens, width of the layer]
 * @param out f32 [tokens, width of the adapter layout]
 */
export function recordPendingGradient(
  program: Program,
  updates: readonly FalqonUpdate[],
  { rank, loraScale }: FalqonSettings,
  dOutput: Matrix,
  out: Matrix,
): void {
  for (const { adapter: { part, start }, pendingB } of updates) {
    gemm(program, {
      layout: "nn",
      a: columnsOf(dOutput, part.start, part.rows),
      b: pendingB!,
      out: columnsOf(out, start, rank),
      alpha: loraScale,
    });
  }
}
