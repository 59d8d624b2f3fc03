/**
 * The options of a training run: what there is, what holds by default, and which values are refused
 * before anything is read or made.
 *
 * @module
 */

import { checkInteger, checkKnown, checkNumber, checkOneOf } from "../checks.ts";
import type { Dataset } from "../data/dataset.ts";
import { OptionError } from "../errors.ts";
import type { EvaluateOptions } from "../inference/evaluate.ts";
import type { Model } from "../inference/model.ts";
import type { Method } from "../layers/method.ts";
import {
  type FlatOptions,
  groupedNames,
  groupOptions,
  OPTIMIZER_DEFAULTS,
  type OptimizerOptions,
  ROW_DEFAULTS,
  type RowOptions,
} from "./option_groups.ts";
import { defaultLearningRate } from "./learning_rate.ts";
import { checkSaveInterval, type SaveInterval } from "./save_interval.ts";
import { type ScheduleName, SCHEDULES } from "./schedule.ts";

/** Options of work that takes a while and can be ended before. */
export interface Abortable {
  /** Ends the work at its next pause, where the signal's reason is thrown. */
  signal?: AbortSignal;
}

/** Options of a run that are plain values: numbers, words, switches. */
export interface PlainOptions {
  /** Rows per micro-batch. Default 16. */
  batchSize?: number;
  /** Tokens per row. Default 512, or as many as the model was made for. */
  sequenceLength?: number;
  /** Micro-batches whose gradients an optimizer step adds up. Default 1. */
  gradAccumSteps?: number;
  /** Optimizer steps. Without it the run ends after `epochs`. */
  steps?: number;
  /**
   * Times to read the data; with a fraction the data is counted first. Default 1 without `steps`,
   * else as often as needed.
   */
  epochs?: number;
  /**
   * Peak learning rate. Default: what suits the method and the model's width, from 0.01 at a width of
   * 64 to 3e-4 at 4,096; a tenth of that for `full`.
   */
  learningRate?: number;
  /**
   * Default `constant`. Others must know the number of steps: without `steps`, the data is counted
   * first.
   */
  schedule?: ScheduleName;
  /** Steps in which the learning rate rises from 0. Default 0. */
  warmupSteps?: number;
  /** The same as a share of all steps, from 0 to below 1, rounded up. Default 0. */
  warmupRatio?: number;
  /** AdamW and clipping. */
  optimizer?: OptimizerOptions;
  /** How the rows of the data become rows of a batch. */
  rows?: RowOptions;
  /** Decides adapters and the order of the data. Default 0. */
  seed?: number;
  /**
   * Keep only the input of each block and compute the rest again in the backward pass. Default
   * false.
   */
  gradientCheckpointing?: boolean;
  /** Steps between evaluations, besides those before the first step and at the end. Default 0: none. */
  evalEvery?: number;
  /**
   * Ends the run after so many evaluations without a lower held-out loss; 0 for never. Default 0.
   */
  earlyStoppingPatience?: number;
  /**
   * Steps between checkpoints; or the time between them, such as `"10m"`; or `"epoch"`; 0 for none.
   * One is also written where a run ends or is ended, and at each new best held-out loss. Default
   * `"10m"` with an `outputDir`, else none.
   */
  saveEvery?: SaveInterval;
  /** Checkpoints kept, the newest; that of the best held-out loss is kept besides. Default 2. */
  keepCheckpoints?: number;
  /** Steps between read-backs of the metrics. Default 10. */
  logEvery?: number;
  /**
   * FALQON: measure what updates do (codes changed, share realised, clamps) whenever metrics are
   * read. Default false.
   */
  updateStats?: boolean;
}

/** Options of `Trainer.create`. */
export interface TrainerOptions extends PlainOptions, FlatOptions {
  /** The model to train. Its network on the GPU becomes the trainer's. */
  model: Model;
  /** The rows to train on. */
  data: Dataset;
  /** How the model is adapted: `falqon(…)`, `lora(…)` or `full()`. */
  method: Method;
  /** Held-out rows, evaluated before the first step, every `evalEvery` steps and at the end. */
  evalData?: Dataset;
  /** Folder of the run: `training_log.jsonl` and checkpoints. Without it nothing is written. */
  outputDir?: string;
  /** Replace a run that `outputDir` holds, its checkpoints included. Default false. */
  overwrite?: boolean;
  /** A run's folder, or one checkpoint, to go on from. */
  resumeFrom?: string;
  /** Go on though the model, the tokenizer or the data are others than before. Default false. */
  resumeAnyway?: boolean;
  /**
   * Is told what is no error but should be known: work that takes long before training, options in
   * an earlier spelling. Default: `console.warn`.
   */
  onNotice?: (notice: string) => void;
}

/**
 * {@linkcode PlainOptions} with defaults filled in; without `steps` the data decides when a run
 * ends.
 */
export type ResolvedOptions =
  & Required<Omit<PlainOptions, "steps" | "epochs" | "optimizer" | "rows">>
  & Pick<PlainOptions, "steps" | "epochs">
  & { optimizer: Required<OptimizerOptions>; rows: Required<RowOptions> };

/** Options to resolve: of the model, only the length of its context matters. */
export type UnresolvedOptions =
  & Partial<Omit<TrainerOptions, "model" | "method">>
  & { model: Pick<Model, "config">; method?: Pick<Method, "learningRateFactor"> };

/** Options whose defaults follow from others, or from the model. */
type Derived = "sequenceLength" | "steps" | "epochs" | "learningRate" | "saveEvery";

/** What holds without a value. */
const DEFAULTS: Readonly<Required<Omit<PlainOptions, Derived | "optimizer" | "rows">>> = {
  batchSize: 16,
  gradAccumSteps: 1,
  schedule: "constant",
  warmupSteps: 0,
  warmupRatio: 0,
  seed: 0,
  gradientCheckpointing: false,
  evalEvery: 0,
  earlyStoppingPatience: 0,
  keepCheckpoints: 2,
  logEvery: 10,
  updateStats: false,
};

/** Every name that {@linkcode PlainOptions} has. */
export const PLAIN_NAMES: readonly string[] = [
  ...Object.keys(DEFAULTS),
  ...["sequenceLength", "steps", "epochs", "learningRate", "saveEvery", "optimizer", "rows"],
];

/** Every name that {@linkcode TrainerOptions} has. */
const NAMES = [
  ...[
    "model",
    "data",
    "method",
    "evalData",
    "outputDir",
    "overwrite",
    "resumeFrom",
    "resumeAnyway",
  ],
  "onNotice",
  ...PLAIN_NAMES,
];

/**
 * Fills in defaults and checks names and values.
 *
 * @param onNotice Is told of names in an earlier spelling.
 * @throws {OptionError} for an unknown name, or a value out of range.
 */
export function resolveOptions(
  given: UnresolvedOptions,
  onNotice: (notice: string) => void = () => {},
): ResolvedOptions {
  const options = groupOptions({ ...given }, onNotice) as UnresolvedOptions;
  checkKnown("Trainer.create", options, NAMES);
  checkKnown("optimizer", options.optimizer ?? {}, groupedNames("optimizer"));
  checkKnown("rows", options.rows ?? {}, groupedNames("rows"));
  const longest = options.model.config.maxPositionEmbeddings;
  const { steps, epochs = steps === undefined ? 1 : undefined } = options;
  const resolved: ResolvedOptions = {
    ...filled(DEFAULTS, options),
    sequenceLength: options.sequenceLength ?? Math.min(512, longest),
    learningRate: options.learningRate ??
      defaultLearningRate(options.model.config, options.method ?? {}),
    saveEvery: options.saveEvery ?? (options.outputDir === undefined ? 0 : "10m"),
    ...(steps !== undefined && { steps }),
    ...(epochs !== undefined && { epochs }),
    optimizer: filled(OPTIMIZER_DEFAULTS, options.optimizer),
    rows: filled(ROW_DEFAULTS, options.rows),
  };
  checkValues(resolved, longest);
  if (resolved.evalEvery > 0 && !options.evalData) {
    throw new OptionError("Cannot evaluate every few steps as there is no evalData: give some");
  }
  if (resolved.earlyStoppingPatience > 0 && resolved.evalEvery === 0) {
    throw new OptionError(
      "Cannot stop early as the held-out loss is not computed every few steps: give evalEvery",
    );
  }
  if (resolved.saveEvery !== 0 && !options.outputDir) {
    throw new OptionError("Cannot save checkpoints as there is no outputDir: give one");
  }
  return resolved;
}

/** How a run evaluates. */
export function evaluationShape(
  { batchSize, sequenceLength, rows: { packing, trainOnPrompt, skipBadRows } }: ResolvedOptions,
): EvaluateOptions {
  return { batchSize, sequenceLength, packing, trainOnPrompt, skipBadRows };
}

/** Defaults under the values that are given; no others. */
function filled<T extends object>(defaults: T, given: Partial<T> = {}): T {
  const names = Object.keys(defaults) as (keyof T)[];
  return Object.fromEntries(names.map((name) => [name, given[name] ?? defaults[name]])) as T;
}

function checkValues(options: ResolvedOptions, longest: number): void {
  const { optimizer, sequenceLength, steps, epochs } = options;
  checkInteger("batchSize", options.batchSize, 1);
  checkInteger("sequenceLength", sequenceLength, 2);
  checkInteger("gradAccumSteps", options.gradAccumSteps, 1);
  if (steps !== undefined) checkInteger("steps", steps, 1);
  if (epochs !== undefined && !(epochs > 0 && epochs < Infinity)) {
    throw new OptionError(`Cannot use epochs ${epochs}: give a number above 0`);
  }
  checkOneOf("schedule", options.schedule, SCHEDULES);
  checkInteger("warmupSteps", options.warmupSteps, 0);
  checkNumber("warmupRatio", options.warmupRatio, 0, 1);
  if (options.warmupSteps > 0 && options.warmupRatio > 0) {
    throw new OptionError(
      "Cannot use warmupSteps and warmupRatio together as each says how long the rate rises: give one",
    );
  }
  checkInteger("evalEvery", options.evalEvery, 0);
  checkInteger("earlyStoppingPatience", options.earlyStoppingPatience, 0);
  checkSaveInterval(options.saveEvery);
  checkInteger("keepCheckpoints", options.keepCheckpoints, 1);
  checkInteger("logEvery", options.logEvery, 1, 1024);
  checkInteger("seed", options.seed, 0);
  // What AdamW makes of it is an f32.
  checkNumber("learningRate", options.learningRate, 0, 2 ** 127 * (1 - optimizer.beta1));
  checkNumber("maxGradNorm", optimizer.maxGradNorm, 0);
  checkNumber("weightDecay", optimizer.weightDecay, 0, 2 ** 127);
  checkNumber("beta1", optimizer.beta1, 0, 1);
  checkNumber("beta2", optimizer.beta2, 0, 1);
  checkNumber("eps", optimizer.eps, 0, 2 ** 127);
  if (sequenceLength > longest) {
    throw new OptionError(
      `Cannot train on rows of ${sequenceLength} tokens as the model was made for ` +
        `${longest}: use a sequenceLength of at most ${longest}`,
    );
  }
}
