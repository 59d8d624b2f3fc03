/**
 * The global norm of the gradients, from which the clip factor follows: on the GPU, so that a step
 * waits for no read-back.
 *
 * @module
 */

import type { Vector } from "../../gpu/buffers.ts";
import type { Program } from "../../gpu/program.ts";
import type { StepState } from "../../gpu/step_state.ts";
import { expectVector } from "../shapes.ts";

/** Threads of a workgroup, and the most workgroups that share the vector. */
const THREADS = 256;
const MOST_WORKGROUPS = 1024;

/** Operands and options of {@linkcode gradNorm}. */
export interface GradNormOptions {
  /** f32 [n]: the gradients of all trained parameters. */
  gradients: Vector;
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
  expectVector("gradNorm", "gradients", gradients, gradients.length);
  const { device } = program;
  const vectors = Math.ceil(gradients.length / 4);
  const workgroups = Math.min(MOST_WORKGROUPS, Math.max(1, Math.ceil(vectors / THREADS)));
  const partials = program.scratch(1, workgroups, "partial squares of the gradient");
  program.dispatch(
    device.kernel("grad_norm_partial", { THREADS }),
    { gradients, partials },
    { vectors },
    [workgroups],
  );
  program.dispatch(
    device.kernel("grad_norm", { THREADS }),
    { partials, results: state.results },
    { count: workgroups, max_norm: maxNorm },
    [1],
  );
}
