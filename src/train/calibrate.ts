/**
 * Shows a method the gradients of the untrained model before its adapters begin.
 *
 * @module
 */

import type { Loader } from "../data/types.ts";
import { Program } from "../gpu/program.ts";
import type { Network } from "../model/network.ts";
import { writeTokens } from "../model/token_buffers.ts";
import { StepState } from "../optim/state.ts";

/** Micro-batches that are looked at. */
const BATCHES = 4;

/** Runs backward passes over the first micro-batches; they are trained on later all the same. */
export async function calibrate(network: Network, loader: Loader, rows: number): Promise<void> {
  const { layers, parameters, device } = network;
  layers.beginCalibration!(rows);
  using state = new StepState(device, { beta1: 0, beta2: 0 });
  using program = new Program(device);
  network.recordTraining(program, rows, state);
  await program.prepare();
  const batches = loader.batches();
  for (let step = 1; step <= BATCHES; step++) {
    const { value: batch, done } = await batches.next();
    if (done) break;
    state.begin({ step, learningRate: 0, targetCount: batch.targetCount });
    writeTokens(device, network.tokens, batch);
    program.run();
  }
  await batches.return();
  await layers.endCalibration!();
  using clearing = new Program(device);
  clearing.clear(parameters.gradients);
  (await clearing.prepare()).run();
}
