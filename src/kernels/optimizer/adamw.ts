/**
 * AdamW on flat vectors of parameters, gradients and moments: one dispatch for all of them.
 *
 * @module
 */

import type { Vector } from "../../gpu/buffers.ts";
import { linearGrid, type Program } from "../../gpu/program.ts";
import type { StepState } from "../../gpu/step_state.ts";
import { expectVector } from "../shapes.ts";

/** Threads of a workgroup. */
const THREADS = 256;

/** Operands and options of {@linkcode adamW}; f32 vectors of one length. */
export interface AdamWOptions {
  /** The parameters, updated in place. */
  values: Vector;
  /** Before clipping. */
  gradients: Vector;
  /**
   * Whether to write over the gradients what values change by: zero after a step whose gradient is
   * not finite. Default false.
   */
  changes?: boolean;
  /** Mean of gradients. */
  firstMoment: Vector;
  /** Mean of squared gradients. */
  secondMoment: Vector;
  /** Added to the root of the second moment. */
  eps: number;
  /** Decoupled decay: parameters are multiplied by `1 − learningRate · weightDecay`. */
  weightDecay: number;
  /** The elements from this one on do not decay. Default: all decay. */
  decayEnd?: number;
  /** Gives the learning rate, the bias corrections and what `gradNorm` found. */
  state: StepState;
}

/**
 * Records a step of AdamW on a flat vector: torch.optim.AdamW with the gradients multiplied by the
 * clip factor. `gradNorm` must have been recorded before. Elements that fill the last group of four
 * are updated like the others, so they must be zero, as their gradients.
 *
 * @throws {RangeError} for a vector of another length.
 */
export function adamW(program: Program, options: AdamWOptions): void {
  const { values, gradients, firstMoment, secondMoment, eps, weightDecay, state } = options;
  const { changes = false } = options;
  const { length } = gradients;
  const vectorsByName = { values, gradients, firstMoment, secondMoment };
  for (const [name, vector] of Object.entries(vectorsByName)) {
    expectVector("adamW", name, vector, length);
  }
  const { beta1, beta2 } = state.betas;
  const vectors = Math.ceil(length / 4);
  program.dispatch(
    program.device.kernel("adamw", { THREADS, CHANGES: changes }),
    {
      inputs: state.inputs,
      results: state.results,
      gradients,
      values,
      first: firstMoment,
      second: secondMoment,
    },
    {
      vectors,
      beta1,
      beta2,
      one_minus_beta1: 1 - beta1,
      one_minus_beta2: 1 - beta2,
      eps,
      decay_end: options.decayEnd ?? length,
      weight_decay: weightDecay,
    },
    linearGrid(vectors, THREADS),
    // Moments and values are read and written; gradients at least read.
    { bytes: (6 + (changes ? 2 : 1)) * gradients.size },
  );
}
