/**
 * The GPU memory that a training run takes, known before it: the network is built and its step
 * recorded on a device that only counts, by the code that builds and records them in a run.
 *
 * @module
 */

import { Random } from "../numerics/random.ts";
import type { Device } from "../gpu/device.ts";
import { isTrained } from "../layers/dense_table.ts";
import type { Method } from "../layers/method.ts";
import { expectTrains } from "../methods/registry.ts";
import { type DryBuffer, openDryDevice } from "../gpu/dry_device.ts";
import type { SizedBuffer } from "../gpu/too_large.ts";
import { activationTypes } from "../model/activation_types.ts";
import { activationBytes, planActivations } from "../model/activation_plan.ts";
import { firstOfEachKind, type ModelConfig } from "../model/config.ts";
import { Network } from "../model/network.ts";
import { CROSS_ENTROPY } from "../model/loss.ts";
import { TrainingStep } from "../model/training_step.ts";
import type { WeightSource } from "../layers/weight_source.ts";
import { initFromGradients } from "./gradient_init.ts";

/** The run whose memory {@linkcode planMemory} predicts. */
export interface MemoryRequest {
  /** The architecture of the model. */
  config: ModelConfig;
  /** How it is adapted. */
  method: Method;
  /** Rows per micro-batch. */
  batchSize: number;
  /** Tokens per row. */
  sequenceLength: number;
  /** As the option of the trainer. */
  gradientCheckpointing: boolean;
  /** As the option of the trainer. */
  updateStats?: boolean;
  /**
   * The GPU that it would run on, whose kernels decide about the memory they need. Default: any
   * that has f16.
   */
  device?: Device;
  /** The most bytes that the GPU binds of one buffer. Default: that of `device`, or no limit. */
  bindingLimit?: number;
}

/** Bytes on the GPU while a run trains. */
export interface MemoryPlan {
  /** The weights, their scales, and the references that updates start from. */
  weights: number;
  /** Trained values that are kept and no weights of the model, all gradients, AdamW's moments. */
  training: number;
  /** Activations that the forward pass leaves for the backward pass, one per layer. */
  kept: number;
  /** Activations that all layers share. */
  passing: number;
  /** The logits of the tokens that the head works on at a time. */
  logits: number;
  /** Partial results and parameters of the kernels. */
  kernels: number;
  /** All of these. */
  total: number;
  /**
   * The most at any time: loading, and methods that look at gradients before training, take memory
   * of their own.
   */
  peak: number;
  /** The buffers of the total, the largest first. */
  buffers: DryBuffer[];
  /** Those of any time that the GPU does not bind, the largest first: the run would be refused. */
  tooLarge: SizedBuffer[];
}

/** What a step takes does not depend on these numbers, as long as gradients are clipped or not. */
const STEP = {
  loss: CROSS_ENTROPY,
  optimizer: { maxGradNorm: 1, eps: 0, weightDecay: 0, beta1: 0, beta2: 0 },
};

/** Stands in for the files of a model: nothing is read, nothing uploaded. */
const NO_WEIGHTS: WeightSource = {
  rows: () => Promise.reject(new TypeError("There are no weights to read")),
  codes: () => Promise.resolve(null),
  fill: () => {},
};

/**
 * Predicts the memory of a run: after `Trainer.create`, `device.allocatedBytes` is the total, and
 * in training it does not grow but for moments of reading back.
 *
 * @throws {OptionError} for a method that does not train, or does not fit the model.
 */
export async function planMemory(request: MemoryRequest): Promise<MemoryPlan> {
  const { config, method, batchSize, sequenceLength, gradientCheckpointing } = request;
  expectTrains(method);
  const loading = await planLoading(request);
  const { device, buffers, tooLarge } = openDryDevice(request.device, request.bindingLimit);
  const grown = (action: () => void): number => {
    const before = device.allocatedBytes;
    action();
    return device.allocatedBytes - before;
  };
  const network = await Network.create({
    device,
    config,
    method,
    source: NO_WEIGHTS,
    random: () => 0,
    gradients: true,
    moments: true,
    restoring: true, // adapters are not computed
  });
  const trainsWeights = isTrained(network.embedding);
  const trained = network.parameters.segments.flatMap(({ values, gradients, m, v }) => [
    trainsWeights ? null : values,
    gradients,
    m,
    v,
  ]);
  const training = trained.reduce((sum, vector) => sum + (vector?.size ?? 0), 0);
  const weights = device.allocatedBytes - training;

  const tokens = batchSize * sequenceLength;
  const mode = { tokens, training: true, checkpointing: gradientCheckpointing };
  const types = activationTypes(network.blocks);
  const perLayer = planActivations(config, mode, types).filter(({ kept }) => kept)
    .reduce((sum, line) => sum + activationBytes(line, tokens), 0);
  // The network does the same when it reserves, and finds it done.
  const shared = grown(() => network.layers.reserve(tokens));
  const saved = grown(() => network.linears().forEach((linear) => linear.reserve(tokens)));
  const rest = grown(() => network.reserve(mode));
  const logits = network.head.logits.size;

  const before = device.allocatedBytes;
  const checkpointing = gradientCheckpointing;
  if (network.layers.gradientInit) {
    await initFromGradients(network, [], tokens, { seed: 0, checkpointing });
  }
  const { updateStats } = request;
  await TrainingStep.create(network, tokens, { ...STEP, checkpointing, updateStats });
  const total = device.allocatedBytes;
  return {
    weights,
    training,
    kept: perLayer + saved,
    passing: shared + rest - perLayer - logits,
    logits,
    kernels: total - before,
    total,
    peak: Math.max(weights + training + loading.bytes, device.peakBytes),
    buffers: largestFirst(buffers),
    tooLarge: largestFirst(
      new Map([...loading.tooLarge, ...tooLarge].map((buffer) => [buffer.label, buffer])).values(),
    ),
  };
}

/**
 * The most that loading takes beside what stays: blocks are loaded one after the other, so one
 * of each kind tells for all.
 */
async function planLoading(
  { config, method, device: like, bindingLimit }: MemoryRequest,
): Promise<{ bytes: number; tooLarge: SizedBuffer[] }> {
  const { device, tooLarge } = openDryDevice(like, bindingLimit);
  const random = new Random(0);
  using _ = await Network.create({
    device,
    config: method.needsAllLayers ? config : firstOfEachKind(config),
    method,
    source: NO_WEIGHTS,
    random: () => random.uniform(),
    gradients: true,
    moments: true,
  });
  return { bytes: device.peakBytes - device.allocatedBytes, tooLarge };
}

function largestFirst<T extends DryBuffer>(buffers: Iterable<T>): T[] {
  return [...buffers].sort((a, b) => b.size - a.size);
}
