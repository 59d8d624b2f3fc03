/**
 * Training steps without files: the programs that `Trainer` replays, on weights that the GPU makes
 * and random tokens.
 *
 * @module
 */

import { Random } from "../../src/numerics/random.ts";
import type { Batch } from "../../src/data/types.ts";
import type { Device } from "../../src/gpu/device.ts";
import type { KernelTime } from "../../src/gpu/program.ts";
import type { StepMetrics } from "../../src/gpu/step_state.ts";
import type { Method } from "../../src/layers/method.ts";
import type { ModelConfig } from "../../src/model/config.ts";
import { CROSS_ENTROPY } from "../../src/model/loss.ts";
import { Network } from "../../src/model/network.ts";
import { TrainingStep } from "../../src/model/training_step.ts";
import { RandomSource } from "./random_source.ts";
import { writeTokens } from "../../src/model/token_buffers.ts";
import { initBatchCount, initFromGradients } from "../../src/train/gradient_init.ts";

/** Options of {@linkcode Training.open}. */
export interface TrainingShape {
  config: ModelConfig;
  method: Method;
  batchSize: number;
  sequenceLength: number;
  gradientCheckpointing: boolean;
  seed: number;
}

/**
 * AdamW with PyTorch's defaults, at the rate of the programs in PyTorch that it is compared with.
 */
const LEARNING_RATE = 1e-3;
const OPTIMIZER = { maxGradNorm: 1, weightDecay: 0, beta1: 0.9, beta2: 0.999, eps: 1e-8 };

/** A run that trains on one batch again and again, so that its loss must fall. */
export class Training implements Disposable {
  readonly #step: TrainingStep;
  readonly #batch: Batch;
  /** Steps started. */
  #count = 0;

  private constructor(step: TrainingStep, batch: Batch) {
    this.#step = step;
    this.#batch = batch;
  }

  /**
   * Loads a model onto the GPU and records its step, as `Trainer.create` does.
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
    mark("activations");
    const batches = Array.from(
      { length: initBatchCount(tokens) },
      () => randomBatch(config.vocabSize, batchSize, sequenceLength, random),
    );
    if (network.layers.gradientInit) {
      await initFromGradients(network, batches, tokens, { seed, checkpointing });
      mark("gradient initialisation");
    }
    const step = await TrainingStep.create(network, tokens, {
      loss: CROSS_ENTROPY,
      optimizer: OPTIMIZER,
      checkpointing,
    });
    await device.finish();
    mark("record and compile");
    return new Training(step, batches[0]);
  }

  /** Submits a step; the GPU is not waited for. */
  async submit(): Promise<void> {
    await this.#begin();
    this.#step.accumulate(this.#batch);
    await this.#step.apply();
  }

  /** Starts a step and writes its tokens, for {@linkcode Training.backward} to run on. */
  async begin(): Promise<void> {
    const { device, tokens } = this.#step.network;
    await this.#begin();
    writeTokens(device, tokens, this.#batch);
  }

  /** Submits forward and backward alone; nothing is updated. */
  backward(): void {
    this.#step.microStep.run();
  }

  /** Runs a step with a timestamp around every dispatch. */
  async profile(): Promise<KernelTime[]> {
    await this.begin();
    const { microStep, update } = this.#step;
    return [...await microStep.profile(), ...await update.profile()];
  }

  /** Waits for the steps submitted since the last call; their losses, norms and so on. */
  metrics(): Promise<StepMetrics[]> {
    return this.#step.takeMetrics();
  }

  [Symbol.dispose](): void {
    this.#step[Symbol.dispose]();
    this.#step.network[Symbol.dispose]();
  }

  #begin(): Promise<void> {
    const { targetCount } = this.#batch;
    return this.#step.begin({ step: ++this.#count, learningRate: LEARNING_RATE, targetCount });
  }
}

/**
 * Rows of uniform random tokens, one document each; every token but the first of a row is a target.
 */
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
