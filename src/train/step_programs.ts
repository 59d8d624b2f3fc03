/**
 * The two programs of a training step: one for each micro-batch, one for the optimizer.
 *
 * @module
 */

import { Program } from "../gpu/program.ts";
import { adamW } from "../kernels/optimizer/adamw.ts";
import { gradNorm } from "../kernels/optimizer/grad_norm.ts";
import { recordMetrics } from "../kernels/optimizer/metrics.ts";
import type { Network } from "../model/network.ts";
import type { StepState } from "../gpu/step_state.ts";
import type { ResolvedOptions } from "./options.ts";

/** Records forward and backward of `rows` tokens. */
export function recordMicroStep(
  network: Network,
  rows: number,
  state: StepState,
): Promise<Program> {
  const program = new Program(network.device);
  network.recordTraining(program, rows, state);
  return program.prepare();
}

/** Records clipping, AdamW and the method's weight update; then gradients and sums are zero for the next step. */
export function recordUpdate(
  network: Network,
  options: Pick<ResolvedOptions, "maxGradNorm" | "eps" | "weightDecay" | "countUpdates">,
  state: StepState,
): Promise<Program> {
  const { parameters, layers, device } = network;
  const { values, gradients, m, v, decayEnd } = parameters;
  const program = new Program(device);
  program.phase("optimizer");
  gradNorm(program, { gradients, maxNorm: options.maxGradNorm, state });
  adamW(program, {
    values,
    gradients,
    firstMoment: m,
    secondMoment: v,
    eps: options.eps,
    weightDecay: options.weightDecay,
    decayEnd,
    state,
  });
  program.phase("update");
  if (options.countUpdates) layers.updateStats?.enable();
  layers.update?.(program);
  recordMetrics(program, state);
  program.clear(gradients);
  program.clear(state.results);
  return program.prepare();
}
