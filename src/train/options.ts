/**
 * The options of a training run: what there is, and what holds by default.
 *
 * @module
 */

import { checkKnown, checkObject } from "../checks.ts";
import { OptionError } from "../errors.ts";
import type { EvaluateOptions } from "../inference/evaluate.ts";
import { checkKinds, checkValues } from "./check_options.ts";
import { defaultLearningRate } from "./learning_rate.ts";
import { groupedNames, groupOptions, OPTIMIZER_DEFAULTS, ROW_DEFAULTS } from "./option_groups.ts";
import type { PlainOptions, ResolvedOptions, UnresolvedOptions } from "./option_types.ts";

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
    "resumeFallback",
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
  checkObject("Trainer.create", given);
  const options = groupOptions({ ...given }, onNotice) as UnresolvedOptions;
  checkKnown("Trainer.create", options, NAMES);
  const { optimizer = {}, rows = {} } = options;
  checkKnown("optimizer", optimizer, groupedNames("optimizer"));
  checkKnown("rows", rows, groupedNames("rows"));
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
  { batchSize, sequenceLength, rows: { packing, trainOnPrompt, skipBadRows } }: ResolvedOptions,
): EvaluateOptions {
  return { batchSize, sequenceLength, packing, trainOnPrompt, skipBadRows };
}

/** Defaults under the values that are given; no others. */
function filled<T extends object>(defaults: T, given: Partial<T> = {}): T {
  const names = Object.keys(defaults) as (keyof T)[];
  return Object.fromEntries(names.map((name) => [name, given[name] ?? defaults[name]])) as T;
}
