/**
 * The options of a training run: what there is, and what holds by default.
 *
 * @module
 */

import { checkObject, checkOptions, type Names } from "../checks.ts";
import { OptionError } from "../errors.ts";
import { type EvaluateOptions, evaluationOf } from "../inference/evaluate.ts";
import { checkKinds, checkValues } from "./check_options.ts";
import { defaultLearningRate } from "./learning_rate.ts";
import {
  type FlatOptions,
  groupOptions,
  OPTIMIZER_DEFAULTS,
  ROW_DEFAULTS,
} from "./option_groups.ts";
import type {
  Abortable,
  PlainOptions,
  ResolvedOptions,
  TrainerOptions,
  UnresolvedOptions,
} from "./option_types.ts";

export type {
  Abortable,
  PlainOptions,
  ResolvedOptions,
  TrainerOptions,
  UnresolvedOptions,
} from "./option_types.ts";

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

/** The names of {@linkcode Abortable}. */
export const ABORTABLE: Names<Abortable> = { signal: true };

/** The names of {@linkcode PlainOptions}. */
const PLAIN: Names<PlainOptions> = {
  ...DEFAULTS,
  sequenceLength: true,
  steps: true,
  epochs: true,
  learningRate: true,
  saveEvery: true,
  optimizer: true,
  rows: true,
};

/** Every name that {@linkcode PlainOptions} has. */
export const PLAIN_NAMES: readonly string[] = Object.keys(PLAIN);

/** The names of {@linkcode TrainerOptions}, without earlier spellings. */
const NAMES: Names<Omit<TrainerOptions, keyof FlatOptions>> = {
  model: true,
  data: true,
  method: true,
  evalData: true,
  outputDir: true,
  overwrite: true,
  resumeFrom: true,
  resumeAnyway: true,
  resumeFallback: true,
  onNotice: true,
  ...PLAIN,
};

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
  checkObject("Trainer.create", given);
  const hints: string[] = [];
  const options = groupOptions({ ...given }, (hint) => hints.push(hint)) as Omit<
    UnresolvedOptions,
    keyof FlatOptions
  >;
  checkOptions("Trainer.create", options, NAMES);
  for (const hint of hints) onNotice(hint);
  const { optimizer = {}, rows = {} } = options;
  checkOptions("optimizer", optimizer, OPTIMIZER_DEFAULTS);
  checkOptions("rows", rows, ROW_DEFAULTS);
  checkKinds(options);
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
    optimizer: filled(OPTIMIZER_DEFAULTS, optimizer),
    rows: filled(ROW_DEFAULTS, rows),
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
  { batchSize, sequenceLength, rows }: ResolvedOptions,
): EvaluateOptions {
  return evaluationOf({ ...rows, batchSize, sequenceLength });
}

/** Defaults under the values that are given; no others. */
function filled<T extends object>(defaults: T, given: Partial<T> = {}): T {
  const names = Object.keys(defaults) as (keyof T)[];
  return Object.fromEntries(names.map((name) => [name, given[name] ?? defaults[name]])) as T;
}
