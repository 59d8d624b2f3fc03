/**
 * Training steps without files: the programs that `Trainer` replays, on weights that the GPU makes and random tokens.
 *
 * @module
 */

import { Random } from "../../src/numerics/random.ts";
import type { Batch } from "../../src/data/types.ts";
import type { Device } from "../../src/gpu/device.ts";
import type { Program } from "../../src/gpu/program.ts";
import type { Method } from "../../src/layers/method.ts";
import type { ModelConfig } from "../../src/model/config.ts";
import { Network } from "../../src/model/network.ts";
import { RandomSource } from "./random_source.ts";
import { writeTokens } from "../../src/model/token_buffers.ts";
import { type StepMetrics, StepState } from "../../src/gpu/step_state.ts";
import { initBatchCount, initFromGradients } from "../../src/train/gradient_init.ts";
import { recordMicroStep, recordUpdate } from "../../src/train/step_programs.ts";

/** What {@linkcode Training.open} makes. */
export interface TrainingShape {
  config: ModelConfig;
  method: Method;
  batchSize: number;
  sequenceLength: number;
  gradientCheckpointing: boolean;
  seed: number;
}

/** AdamW as in PyTorch; the rate of `shared/anchors`' peers. */
const LEARNING_RATE = 1e-3;
const BETAS = { beta1: 0.9, beta2: 0.999 };
const UPDATE = { maxGradNorm: 1, eps: 1e-8, weightDecay: 0, countUpdates: false };

/** A run that trains on one batch again and again, so that its loss must fall. */
export class Training implements Disposable {
  readonly #device: Device;
  readonly #network: Network;
  readonly #state: StepState;
  readonly #batch: Batch;
  /** Forward, loss and backward. */
  readonly microStep: Program;
  /** Clipping, AdamW and the method's update of the weights. */
  readonly update: Program;
  #step = 0;

  private constructor(
    network: Network,
    state: StepState,
    batch: Batch,
    programs: { microStep: Program; update: Program },
  ) {
    this.#device = network.device;
    this.#network = network;
    this.#state = state;
    this.#batch = batch;
    this.microStep = programs.microStep;
    this.update = programs.update;
  }

  /**
   * Puts a model on the GPU and records its step, as `Trainer.create` does.
   *
   * @param mark is called after each part of the work with its name.
   */
  static async open(
    device: Device,
    shape: TrainingShape,
    mark: (part: string) => void = () => {},
  ): Promise<Training> {
    const { config, method, batchSize, sequenceLength, seed } = shape;
    const random = new Random(seed);
    const network = await Network.create({
      device,
      config,
      method,
      source: new RandomSource(seed),
      random: () => random.uniform(),
      gradients: true,
      moments: true,
    });
    mark("weights");
    const tokens = batchSize * sequenceLength;
    const checkpointing = shape.gradientCheckpointing;
    network.reserve({ tokens, training: true, checkpointing });
    const state = new StepState(device, BETAS);
    mark("activations");
    const batches = Array.from(
      { length: initBatchCount(tokens) },
      () => randomBatch(config.vocabSize, batchSize, sequenceLength, random),
    );
    if (network.layers.gradientInit) {
      await initFromGradients(network, batches, tokens, seed);
      mark("calibration");
    }
    const programs = {
      microStep: await recordMicroStep(network, tokens, state),
      update: await recordUpdate(network, UPDATE, state),
    };
    await device.finish();
    mark("record and compile");
    return new Training(network, state, batches[0], programs);
  }

  /** Submits a step and returns without waiting for it. */
  submit(): void {
    this.begin();
    this.microStep.run();
    this.update.run();
  }

  /** Writes what a step reads; its two programs must follow. */
  begin(): void {
    const { targetCount } = this.#batch;
    this.#state.begin({ step: ++this.#step, learningRate: LEARNING_RATE, targetCount });
    writeTokens(this.#device, this.#network.tokens, this.#batch);
  }

  /** Waits for the steps submitted since the last call; their losses, norms and so on. */
  metrics(): Promise<StepMetrics[]> {
    return this.#state.takeMetrics();
  }

  [Symbol.dispose](): void {
    this.microStep[Symbol.dispose]();
    this.update[Symbol.dispose]();
    this.#state[Symbol.dispose]();
    this.#network[Symbol.dispose]();
  }
}

/** Rows of uniform random tokens, one document each; every token but the first of a row is a target. */
function randomBatch(
  vocabSize: number,
  rows: number,
  sequenceLength: number,
  random: Random,
): Batch {
  const count = rows * sequenceLength;
  const inputIds = Uint32Array.from({ length: count }, () => random.below(vocabSize));
  const place = (t: number) => t % sequenceLength;
  const each = (of: (t: number) => number) => Uint32Array.from(inputIds, (_, t) => of(t));
  return {
    rows,
    sequenceLength,
    inputIds,
    targets: Int32Array.from(
      inputIds,
      (_, t) => place(t) < sequenceLength - 1 ? inputIds[t + 1] : -100,
    ),
    positions: each(place),
    documentStart: each((t) => t - place(t)),
    documentEnd: each((t) => t - place(t) + sequenceLength),
    targetCount: rows * (sequenceLength - 1),
    tokenCount: count,
    position: { epoch: 0 } as Batch["position"],
    waitMs: 0,
  };
}
