/**
 * The global norm of the gradients, from which the clip factor follows: on the GPU, so that a step
 * waits for no read-back.
 *
 * @module
 */

import { roundUp, rowsOf, type Vector } from "../../gpu/buffers.ts";
import type { Program } from "../../gpu/program.ts";
import type { StepState } from "../../gpu/step_state.ts";
import { expectVector } from "../shapes.ts";

/** Threads of a workgroup, and the most workgroups that share the vector. */
const THREADS = 256;
const MOST_WORKGROUPS = 1024;

/** Partial sums in 256 bytes. */
const ROW_STEP = 64;

/** Operands and options of {@linkcode gradNorm}. */
export interface GradNormOptions {
  /** f32 [n] each: the gradients of all trained parameters, in one vector or several. */
  gradients: readonly Vector[];
  /** The norm above which gradients are scaled down to it; 0 for no clipping. */
  maxNorm: number;
  /** Receives the norm, the clip factor, and whether the norm is finite. */
  state: StepState;
}

/**
 * Records the global L2 norm of the gradients and the factor that `adamW` clips by. A gradient that
 * holds NaN or infinity is marked, and `adamW` leaves everything as it was.
 */
export function gradNorm(program: Program, { gradients, maxNorm, state }: GradNormOptions): void {
  const { device } = program;
  const longest = Math.max(...gradients.map(({ length }) => Math.ceil(length / 4)));
  const share = Math.min(MOST_WORKGROUPS, Math.max(1, Math.ceil(longest / THREADS)));
  // Each of several vectors has a row of partial sums, which begins where bindings may and has no gaps:
  // workgroups without a share write 0.
  const workgroups = gradients.length > 1 ? roundUp(share, ROW_STEP) : share;
  const partials = program.scratch(
    gradients.length,
    workgroups,
    "partial squares of the gradient",
    "f32",
    "model",
  );
  for (const [i, vector] of gradients.entries()) {
    expectVector("gradNorm", "gradients", vector, vector.length);
    program.dispatch(
      device.kernel("grad_norm_partial", { THREADS }),
      { gradients: vector, partials: rowsOf(partials, i, 1) },
      { vectors: Math.ceil(vector.length / 4) },
      [workgroups],
    );
  }
  program.dispatch(
    device.kernel("grad_norm", { THREADS }),
    { partials, results: state.results },
    { count: gradients.length * workgroups, max_norm: maxNorm },
    [1],
  );
}
