/**
 * Which values of a training run's options are refused, before anything is read or made.
 *
 * @module
 */

import {
  checkBatch,
  checkBoolean,
  checkInteger,
  checkNumber,
  checkOneOf,
  checkText,
  MOST_STEPS,
  refuseValue,
} from "../checks.ts";
import { Dataset } from "../data/dataset.ts";
import { OptionError } from "../errors.ts";
import type { Method } from "../layers/method.ts";
import type { ResolvedOptions, UnresolvedOptions } from "./option_types.ts";
import { checkSaveInterval } from "./save_interval.ts";
import { SCHEDULES } from "./schedule.ts";

/**
 * Refuses what is no model, no data, no method: programs without types can give anything.
 *
 * @throws {OptionError} naming the option.
 */
export function checkKinds(options: UnresolvedOptions & { method?: unknown }): void {
  const kinds: [name: string, isKind: boolean, remedy: string][] = [
    ["model", typeof options.model?.config === "object", "give one of Model.load"],
    ["data", isData(options.data), "give one of Dataset.from"],
    ["evalData", isData(options.evalData), "give one of Dataset.from"],
    ["method", isMethod(options.method), "give one such as falqon()"],
  ];
  for (const [name, isKind, remedy] of kinds) {
    if (!isKind) throw new OptionError(`Cannot use what is given as ${name}: ${remedy}`);
  }
  for (const name of ["outputDir", "resumeFrom"] as const) {
    if (options[name] !== undefined) checkText(name, options[name]);
  }
  for (const name of ["overwrite", "resumeAnyway", "resumeFallback"] as const) {
    if (options[name] !== undefined) checkBoolean(name, options[name]);
  }
}

function isMethod(value: unknown): boolean {
  return value === undefined || typeof (value as Partial<Method> | null)?.build === "function";
}

function isData(value: unknown): boolean {
  return value === undefined || value instanceof Dataset;
}

/** The targets of a step are counted in 32 bits. */
const MOST_TARGETS = 2 ** 32 - 1;
/** More is a mistake. */
const MOST_EPOCHS = 1e6;

/**
 * Checks the values of options.
 *
 * @param longest Tokens that the model was made for.
 * @throws {OptionError} for one that is out of range.
 */
export function checkValues(options: ResolvedOptions, longest: number): void {
  const { optimizer, sequenceLength, steps, epochs } = options;
  checkBatch(options.batchSize, sequenceLength);
  checkInteger("gradAccumSteps", options.gradAccumSteps, 1);
  const tokens = options.batchSize * sequenceLength * options.gradAccumSteps;
  if (tokens > MOST_TARGETS) {
    throw new OptionError(
      `Cannot use gradAccumSteps ${options.gradAccumSteps} as a step then has ${tokens} tokens, and ` +
        `at most ${MOST_TARGETS} are counted: reduce it`,
    );
  }
  if (steps !== undefined) checkInteger("steps", steps, 1, MOST_STEPS);
  if (epochs !== undefined && !(Number.isFinite(epochs) && epochs > 0 && epochs <= MOST_EPOCHS)) {
    refuseValue("epochs", epochs, `a number above 0, up to ${MOST_EPOCHS}`);
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
  checkInteger("shuffleBuffer", options.rows.shuffleBuffer, 1);
  for (const name of ["gradientCheckpointing", "updateStats"] as const) {
    checkBoolean(name, options[name]);
  }
  for (const name of ["packing", "shuffle", "trainOnPrompt", "skipBadRows"] as const) {
    checkBoolean(name, options.rows[name]);
  }
  // Kernels take these, and what AdamW makes of them, as f32.
  checkNumber("maxGradNorm", optimizer.maxGradNorm, 0);
  checkNumber("weightDecay", optimizer.weightDecay, 0, 2 ** 127);
  checkNumber("beta1", optimizer.beta1, 0, 1);
  checkNumber("learningRate", options.learningRate, 0, 2 ** 127 * (1 - optimizer.beta1));
  checkNumber("beta2", optimizer.beta2, 0, 1);
  checkNumber("eps", optimizer.eps, 0, 2 ** 127);
  if (sequenceLength > longest) {
    throw new OptionError(
      `Cannot train on rows of ${sequenceLength} tokens as the model was made for ` +
        `${longest}: use a sequenceLength of at most ${longest}`,
    );
  }
}
