/**
 * Gradient initialisation: shows a method gradients of the untrained model, for its adapters to
 * start with.
 *
 * @module
 */

import { Random } from "../numerics/random.ts";
import type { Batch, Loader } from "../data/types.ts";
import { submitOnce } from "../gpu/submit_once.ts";
import { Program } from "../gpu/program.ts";
import { StepState } from "../gpu/step_state.ts";
import type { Network } from "../model/network.ts";
import { writeTokens } from "../model/token_buffers.ts";
import { sum } from "./metrics.ts";
import { readGroup } from "./training_data.ts";

/** Tokens that are enough to find the leading directions of the gradients. */
const ENOUGH_TOKENS = 8192;

/**
 * Micro-batches of `rows` tokens whose gradients decide how adapters start. They are those of whole
 * steps, so that the rows do not depend on how a step is split into micro-batches.
 */
export function initBatchCount(rows: number, gradAccumSteps = 1): number {
  return gradAccumSteps * Math.min(4, Math.ceil(ENOUGH_TOKENS / (rows * gradAccumSteps)));
}

/** Reads the micro-batches of gradient initialisation; they are trained on later all the same. */
export async function firstBatches(
  loader: Loader,
  rows: number,
  gradAccumSteps: number,
): Promise<Batch[]> {
  const stream = loader.batches();
  const batches = await readGroup(stream, initBatchCount(rows, gradAccumSteps));
  await stream.return();
  return batches;
}

/**
 * Runs backward passes over some micro-batches of `rows` tokens for the method to look at. The
 * network has reserved memory for them.
 *
 * @param seed Decides the method's random choices.
 */
export async function initFromGradients(
  network: Network,
  batches: readonly Batch[],
  rows: number,
  options: { seed: number; checkpointing: boolean; gradAccumSteps?: number },
): Promise<void> {
  const { gradAccumSteps = 1 } = options;
  const { layers, parameters, device } = network;
  const random = new Random(options.seed);
  await layers.gradientInit!.begin(rows, () => random.uniform());
  network.refit();
  network.reserve({ tokens: rows, training: true, checkpointing: options.checkpointing });
  using state = new StepState(device, { beta1: 0, beta2: 0 });
  using program = new Program(device);
  network.recordTraining(program, rows, state);
  if (batches.length === 0) await program.prepare();
  for (const [i, batch] of batches.entries()) {
    // As in training, the micro-batches of a step weigh by their targets.
    const first = i - i % gradAccumSteps;
    const targetCount = sum(
      batches.slice(first, first + gradAccumSteps),
      ({ targetCount }) => targetCount,
    );
    state.begin({ step: i + 1, learningRate: 0, targetCount });
    writeTokens(device, network.tokens, batch);
    if (i === 0) await program.prepareAndRun();
    else program.run();
  }
  await compileUpdate(network, state);
  await layers.gradientInit!.end();
  network.refit();
  await submitOnce(device, (program) => {
    for (const gradients of parameters.gradients) program.clear(gradients);
  });
}

/** Compiles what updates the weights, while the GPU still computes gradients. */
async function compileUpdate({ device, layers }: Network, state: StepState): Promise<void> {
  using program = new Program(device);
  layers.update?.(program, state);
  await program.compile();
}
