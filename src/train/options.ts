/**
 * What a training run is told.
 *
 * @module
 */

import type { Dataset } from "../data/dataset.ts";
import { OptionError } from "../errors.ts";
import type { Method } from "../layers/method.ts";
import type { Model } from "../inference/model.ts";
import type { ScheduleName } from "./schedule.ts";

/** Options of `Trainer.create`. */
export interface TrainerOptions {
  /** The model to train. Its network on the GPU becomes the trainer's. */
  model: Model;
  /** The rows to train on. */
  data: Dataset;
  /** How the model is adapted: `falqon(…)`, `lora(…)` or `full()`. */
  method: Method;
  /** Rows a micro-batch. Default 16. */
  batchSize?: number;
  /** Tokens a row. Default 512, or as many as the model was made for. */
  sequenceLength?: number;
  /** Micro-batches whose gradients an optimizer step adds up. Default 1. */
  gradAccumSteps?: number;
  /** Optimizer steps. Without it the run ends after `epochs`. */
  steps?: number;
  /** Times to read the data. Default 1 without `steps`, else as often as needed. */
  epochs?: number;
  /** Peak learning rate. Default 2e-4. */
  learningRate?: number;
  /** Default `constant`. */
  schedule?: ScheduleName;
  /** Steps in which the learning rate rises from 0. Default 0. */
  warmupSteps?: number;
  /** Gradients with a larger global norm are scaled down to it; 0 switches clipping off. Default 1. */
  maxGradNorm?: number;
  /** AdamW's decoupled decay of matrices. Default 0. */
  weightDecay?: number;
  /** AdamW's decay of the mean of gradients. Default 0.9. */
  beta1?: number;
  /** AdamW's decay of the mean of squared gradients. Default 0.999. */
  beta2?: number;
  /** AdamW's eps. Default 1e-8. */
  eps?: number;
  /** Decides adapters and the order of the data. Default 0. */
  seed?: number;
  /** Shuffle the rows, anew in each epoch. Default true. */
  shuffle?: boolean;
  /** Rows to choose from when shuffling. Default 10,000. */
  shuffleBuffer?: number;
  /** Several documents a row, else one a row, padded. Default true. */
  packing?: boolean;
  /** Learn the tokens of prompts too. Default false. */
  trainOnPrompt?: boolean;
  /** Skip and count malformed rows. Default false. */
  skipBadRows?: boolean;
  /** Keep only the input of each block and compute the rest again in the backward pass. Default false. */
  gradientCheckpointing?: boolean;
  /** Held-out rows for `evalEvery`. */
  evalData?: Dataset;
  /** Steps between evaluations; 0 for none. Default 0. */
  evalEvery?: number;
  /** Folder of the run: `training_log.jsonl` and checkpoints. Without it nothing is written. */
  outputDir?: string;
  /** Replace a run that `outputDir` holds, its checkpoints included. Default false. */
  overwrite?: boolean;
  /** Steps between checkpoints; 0 for none. Default 0. */
  saveEvery?: number;
  /** Checkpoints kept, the newest. Default 2. */
  keepCheckpoints?: number;
  /** Steps between read-backs of the metrics. Default 10. */
  logEvery?: number;
  /** FALQON: count what updates do (codes changed, share realized, clamps) whenever metrics are read. Default false. */
  countUpdates?: boolean;
  /** A run's folder, or one checkpoint, to go on from. */
  resumeFrom?: string;
}

/** {@linkcode TrainerOptions} that are plain values, defaults filled in. */
export type ResolvedOptions =
  & Required<
    Omit<
      TrainerOptions,
      | "model"
      | "data"
      | "method"
      | "evalData"
      | "steps"
      | "epochs"
      | "outputDir"
      | "overwrite"
      | "resumeFrom"
    >
  >
  & { steps: number | null; epochs: number | null };

/**
 * Fills in defaults and checks values.
 *
 * @throws {OptionError} for a value out of range.
 */
export function resolveOptions(
  options: Omit<TrainerOptions, "model" | "data" | "method"> & { model: Pick<Model, "config"> },
): ResolvedOptions {
  const longest = options.model.config.maxPositionEmbeddings;
  const resolved: ResolvedOptions = {
    batchSize: options.batchSize ?? 16,
    sequenceLength: options.sequenceLength ?? Math.min(512, longest),
    gradAccumSteps: options.gradAccumSteps ?? 1,
    steps: options.steps ?? null,
    epochs: options.epochs ?? (options.steps === undefined ? 1 : null),
    learningRate: options.learningRate ?? 2e-4,
    schedule: options.schedule ?? "constant",
    warmupSteps: options.warmupSteps ?? 0,
    maxGradNorm: options.maxGradNorm ?? 1,
    weightDecay: options.weightDecay ?? 0,
    beta1: options.beta1 ?? 0.9,
    beta2: options.beta2 ?? 0.999,
    eps: options.eps ?? 1e-8,
    seed: options.seed ?? 0,
    shuffle: options.shuffle ?? true,
    shuffleBuffer: options.shuffleBuffer ?? 10_000,
    packing: options.packing ?? true,
    trainOnPrompt: options.trainOnPrompt ?? false,
    skipBadRows: options.skipBadRows ?? false,
    gradientCheckpointing: options.gradientCheckpointing ?? false,
    evalEvery: options.evalEvery ?? 0,
    saveEvery: options.saveEvery ?? 0,
    keepCheckpoints: options.keepCheckpoints ?? 2,
    logEvery: options.logEvery ?? 10,
    countUpdates: options.countUpdates ?? false,
  };
  whole("batchSize", resolved.batchSize, 1);
  whole("sequenceLength", resolved.sequenceLength, 2);
  whole("gradAccumSteps", resolved.gradAccumSteps, 1);
  if (resolved.steps !== null) whole("steps", resolved.steps, 1);
  if (resolved.epochs !== null) whole("epochs", resolved.epochs, 1);
  whole("evalEvery", resolved.evalEvery, 0);
  whole("saveEvery", resolved.saveEvery, 0);
  whole("keepCheckpoints", resolved.keepCheckpoints, 1);
  whole("logEvery", resolved.logEvery, 1, 1024);
  whole("seed", resolved.seed, 0);
  between("learningRate", resolved.learningRate, 0, Infinity);
  between("maxGradNorm", resolved.maxGradNorm, 0, Infinity);
  between("weightDecay", resolved.weightDecay, 0, Infinity);
  between("beta1", resolved.beta1, 0, 1);
  between("beta2", resolved.beta2, 0, 1);
  between("eps", resolved.eps, 0, Infinity);
  if (resolved.sequenceLength > longest) {
    throw new OptionError(
      `Cannot train on rows of ${resolved.sequenceLength} tokens as the model was made for ` +
        `${longest}: use a sequenceLength of at most ${longest}`,
    );
  }
  if (resolved.evalEvery > 0 && !options.evalData) {
    throw new OptionError("Cannot evaluate every few steps as there is no evalData: give some");
  }
  if (resolved.saveEvery > 0 && !options.outputDir) {
    throw new OptionError("Cannot save checkpoints as there is no outputDir: give one");
  }
  return resolved;
}

function whole(name: string, value: number, least: number, most = Infinity): void {
  if (Number.isInteger(value) && value >= least && value <= most) return;
  const range = most === Infinity ? `of at least ${least}` : `from ${least} to ${most}`;
  throw new OptionError(`Cannot use ${name} ${value}: expected a whole number ${range}`);
}

function between(name: string, value: number, least: number, below: number): void {
  if (value >= least && value < below) return;
  const range = below === Infinity ? `of at least ${least}` : `from ${least} to below ${below}`;
  throw new OptionError(`Cannot use ${name} ${value}: expected a finite number ${range}`);
}
