/**
 * The loss of one labelled sequence, and its gradient: for debugging, and to compare a model with
 * another implementation of it.
 *
 * @module
 */

import { checkList, checkOptions, refuseKind } from "../checks.ts";
import { DataError, ModelError, OptionError } from "../errors.ts";
import { internalDevice } from "../gpu/public_device.ts";
import { biasedParts, biasName, readBias } from "../layers/bias.ts";
import { weightName } from "../layers/load.ts";
import { isTrained } from "../layers/dense_table.ts";
import { readNamed } from "../layers/named_dense.ts";
import { full } from "../methods/full.ts";
import { CROSS_ENTROPY } from "../model/loss.ts";
import { Network } from "../model/network.ts";
import { sequenceArrays, type TokenArrays } from "../model/token_buffers.ts";
import { TrainingStep } from "../model/training_step.ts";
import { checkIds, checkLabels, checkLength } from "./check_ids.ts";
import type { LoadedModel } from "./loaded_model.ts";

/** Ids and labels of one sequence, as Hugging Face models take them. */
export interface LabelledSequence {
  /** Token ids. */
  inputIds: ArrayLike<number>;
  /**
   * As long as the ids; −100 is ignored. Shifted inside: label t + 1 is what token t must predict.
   */
  labels: ArrayLike<number>;
}

/** A loss and the gradient of every parameter. */
export interface LossAndGradients {
  /** Mean over the targets, in nats. */
  loss: number;
  /**
   * By Hugging Face parameter name; tied weights once, under `model.embed_tokens.weight`. Packed
   * [rows, cols].
   */
  gradients: Map<string, Float32Array<ArrayBuffer>>;
}

/**
 * Computes the mean loss over the targets of a sequence, in nats.
 *
 * @throws {DataError} if every label is ignored, or for ids or labels that the model has no token for.
 * @throws {OptionError} for more tokens than the model was made for.
 * @throws {ModelError} if the loss is no finite number.
 */
export async function sequenceLoss(
  model: LoadedModel,
  sequence: LabelledSequence,
): Promise<number> {
  const arrays = labelled(model, sequence);
  return mean(await model.tokenLosses(arrays), countTargets(arrays));
}

/**
 * Computes the loss and the gradient of every parameter in f32, adapters merged in, on an f32 copy
 * of the model.
 *
 * @throws {DataError} if every label is ignored, or for ids or labels that the model has no token for.
 * @throws {OptionError} for more tokens than the model was made for, or if an adapter brings biases that
 * the model has not.
 * @throws {ModelError} if the loss is no finite number.
 */
export async function lossAndGradients(
  model: LoadedModel,
  sequence: LabelledSequence,
): Promise<LossAndGradients> {
  const arrays = labelled(model, sequence);
  const { config, addedBiases } = model.changed?.() ?? { config: model.config, addedBiases: [] };
  const device = internalDevice(model.device);
  if (addedBiases.length > 0) {
    throw new OptionError(
      "Cannot compute gradients of the whole model with added biases, as the adapter has: use one " +
        "without lora_bias",
    );
  }
  using network = await Network.create({
    device,
    config,
    method: full(),
    source: model.source(),
    random: Math.random,
    gradients: true,
    moments: false,
  });
  const rows = arrays.inputIds.length;
  const options = { loss: CROSS_ENTROPY, optimizer: null, checkpointing: false };
  using step = await TrainingStep.create(network, rows, options);
  await step.begin({ step: 1, learningRate: 0, targetCount: countTargets(arrays) });
  step.accumulate(arrays);

  const losses = new Float32Array(await device.read(network.rowLoss)).subarray(0, rows);
  const gradients = new Map<string, Float32Array<ArrayBuffer>>();
  for (const [name, dense] of network.dense) {
    if (isTrained(dense)) gradients.set(name, await readNamed(device, dense, "gradient"));
  }
  for (const linear of network.linears()) {
    for (const [index, part] of linear.spec.parts.entries()) {
      gradients.set(weightName(part), await linear.readGradient!(index));
    }
    for (const part of biasedParts(linear.spec)) {
      gradients.set(biasName(part), await readBias(device, linear, part, "gradient"));
    }
  }
  return { loss: mean(losses, countTargets(arrays)), gradients };
}

function labelled(model: LoadedModel, sequence: LabelledSequence): TokenArrays {
  if (typeof sequence !== "object" || sequence === null || !("inputIds" in sequence)) {
    refuseKind(
      "a sequence with labels",
      sequence,
      "an object such as { inputIds: [1, 2], labels: [1, 2] }",
    );
  }
  checkOptions("a sequence with labels", sequence, { inputIds: true, labels: true });
  const { inputIds, labels } = sequence;
  checkList("inputIds", inputIds, "token ids");
  checkList("labels", labels, "token ids, as long as inputIds");
  if (inputIds.length !== labels.length) {
    throw new DataError(
      `Cannot use ${labels.length} labels for ${inputIds.length} ids: give one label per token`,
    );
  }
  if (!Array.from(labels).some((label, t) => t > 0 && label >= 0)) {
    throw new DataError(
      "Cannot compute a loss as every label is ignored: give at least one target",
    );
  }
  checkLength(inputIds.length, model);
  checkIds(inputIds, model); // before they are made whole numbers
  checkLabels(labels, model);
  return sequenceArrays(inputIds, labels);
}

function countTargets({ targets }: TokenArrays): number {
  return targets.reduce((count, target) => count + Number(target >= 0), 0);
}

function mean(losses: Float32Array, count: number): number {
  const sum = losses.reduce((sum, loss) => sum + loss, 0);
  if (!Number.isFinite(sum)) throw noLoss(losses.find((loss) => !Number.isFinite(loss))!);
  return sum / count;
}

/** The error for a model that computes no numbers: a loss that is none must never count as one. */
export function noLoss(loss: number): ModelError {
  return new ModelError(
    `Cannot compute the loss as that of a token is ${loss}, not a finite number: the model's weights ` +
      "are damaged, its training diverged, or its values leave the range of their type; load an " +
      "earlier checkpoint, or keep the weights in f32",
  );
}
