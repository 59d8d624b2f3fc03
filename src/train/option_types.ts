/**
 * The options of a training run, as types.
 *
 * @module
 */

import type { Dataset } from "../data/dataset.ts";
import type { Model } from "../inference/model.ts";
import type { Method } from "../layers/method.ts";
import type { FlatOptions, OptimizerOptions, RowOptions } from "./option_groups.ts";
import type { SaveInterval } from "./save_interval.ts";
import type { ScheduleName } from "./schedule.ts";

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
   * Where the checkpoint to go on from is damaged, go on from the newest whole one before it. Default
   * false: it is refused, and that one named.
   */
  resumeFallback?: boolean;
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
