/**
 * Finds a learning rate by trying: short runs from the same start on the same rows.
 *
 * @module
 */

import {
  checkInteger,
  checkList,
  checkNumber,
  checkObject,
  checkOptions,
  type Names,
} from "../checks.ts";
import { ModelError, OptionError, TrainingError } from "../errors.ts";
import { ABORTABLE, type Abortable, type TrainerOptions } from "./options.ts";
import { Trainer } from "./trainer.ts";

/** One learning rate that was tried. */
export interface TriedRate {
  /** The peak learning rate. */
  learningRate: number;
  /**
   * The held-out loss after the steps or, without `evalData`, the mean loss of the last third of
   * them; Infinity where the rate destroyed the model.
   */
  loss: number;
}

/** What {@linkcode findLearningRate} found. */
export interface FoundRate {
  /** The rate with the lowest loss. */
  learningRate: number;
  /** Every rate that was tried, ascending. */
  tried: TriedRate[];
}

/** Options of {@linkcode findLearningRate}. */
export interface FindRateOptions extends Abortable {
  /**
   * Rates to try. Default: five around that of the options or its default, and more where the best is
   * at an end.
   */
  rates?: readonly number[];
  /** Steps of each run. Default 40. */
  steps?: number;
  /** Is told of each step, with the rate that is tried and how many were before it. */
  onStep?: (progress: { learningRate: number; tried: number; step: number; loss: number }) => void;
  /** Is told of each rate as it has been tried. */
  onTried?: (tried: TriedRate) => void;
}

/** The names of {@linkcode FindRateOptions}. */
const FIND_NAMES: Names<FindRateOptions> = {
  rates: true,
  steps: true,
  onStep: true,
  onTried: true,
  ...ABORTABLE,
};

/** From one rate to the next, about half a power of ten. */
const RATIO = Math.sqrt(10);
/** Rates that are tried at most beyond an end. */
const MOST_BEYOND = 3;

/**
 * Tries learning rates: for each, a short run from the same start on the same rows, with a warm-up and
 * a linear schedule down to zero, as short runs with a constant rate favour high ones. Nothing is
 * written; the model is loaded anew for each run.
 *
 * @param options As of `Trainer.create`; what is said there of schedule, steps and output is not
 * used.
 * @throws {OptionError} for an unknown option, rates or steps out of range, or if no rate gives a finite loss.
 * @throws {ModelError} if the loss is not finite before anything is trained.
 * @throws What `Trainer.create` and `Trainer.run` throw.
 * @example
 * ```ts
 * import { Dataset, falqon, findLearningRate, Model, requestDevice } from "@falqon/webgpu";
 *
 * await using device = await requestDevice();
 * using model = await Model.load("./model", { device });
 * const data = Dataset.from("./train.jsonl");
 * const found = await findLearningRate(
 *   { model, data, method: falqon({ rank: 16 }), batchSize: 2, sequenceLength: 64 },
 *   { rates: [1e-3, 1e-2], steps: 2 },
 * );
 * console.log(found.learningRate, found.tried);
 * ```
 */
export async function findLearningRate(
  options: TrainerOptions,
  search: FindRateOptions = {},
): Promise<FoundRate> {
  checkObject("Trainer.create", options);
  checkOptions("findLearningRate", search, FIND_NAMES);
  const { rates, steps = 40, onTried = () => {}, onStep, signal } = search;
  if (rates !== undefined) checkList("rates", rates, "numbers");
  checkInteger("steps", steps, 1);
  for (const rate of rates ?? []) checkNumber("learning rate", rate, Number.MIN_VALUE);
  if (rates?.length === 0) throw new OptionError("Cannot try no learning rates: give some");
  const tried: TriedRate[] = [];
  const attempt = async (learningRate: number | undefined): Promise<number> => {
    const told = (rate: number, step: number, loss: number) =>
      onStep?.({ learningRate: rate, tried: tried.length, step, loss });
    const entry = await tryRate(options, learningRate, steps, told, signal);
    onTried(entry);
    tried.push(entry);
    tried.sort((a, b) => a.learningRate - b.learningRate);
    return entry.learningRate;
  };
  if (rates) { for (const rate of rates) await attempt(rate); }
  else {
    const middle = await attempt(options.learningRate);
    for (const power of [-2, -1, 1, 2]) await attempt(round(middle * RATIO ** power));
    for (let more = 0; more < MOST_BEYOND; more++) {
      const { learningRate } = lowest(tried);
      if (learningRate === tried[0].learningRate) await attempt(round(learningRate / RATIO));
      else if (learningRate === tried.at(-1)!.learningRate) {
        await attempt(round(learningRate * RATIO));
      } else break;
    }
  }
  const { learningRate, loss } = lowest(tried);
  if (loss === Infinity) {
    throw new OptionError(
      `Cannot find a learning rate as each of ${
        tried.map(({ learningRate }) => learningRate).join(", ")
      } destroyed the model, whose loss became infinite or that of one which knows nothing: give lower ones`,
    );
  }
  return { learningRate, tried };
}

async function tryRate(
  { evalEvery: _, earlyStoppingPatience: __, ...options }: TrainerOptions,
  learningRate: number | undefined,
  steps: number,
  onStep: (learningRate: number, step: number, loss: number) => void,
  signal?: AbortSignal,
): Promise<TriedRate> {
  const { evalData } = options;
  using trainer = await Trainer.create({
    ...options,
    learningRate,
    steps,
    epochs: undefined,
    schedule: "linear",
    warmupSteps: undefined,
    warmupRatio: 0.1,
    saveEvery: 0,
    evalData: undefined,
    outputDir: undefined,
    resumeFrom: undefined,
  }, { signal });
  const { options: { learningRate: rate } } = trainer;
  const losses: number[] = [];
  try {
    for await (const { step, loss } of trainer.run({ signal })) {
      losses.push(loss);
      onStep(rate, step, loss);
    }
    if (evalData) {
      return { learningRate: rate, loss: (await trainer.evaluate(evalData, { signal })).loss };
    }
  } catch (error) {
    // A model that has no loss before its first step owes that to no rate.
    const isOfModel = error instanceof ModelError && losses.length === 0;
    const isOfRate = !isOfModel && (error instanceof ModelError || error instanceof TrainingError);
    if (!isOfRate) throw error;
    return { learningRate: rate, loss: Infinity };
  }
  const last = losses.slice(Math.floor(losses.length * 2 / 3));
  const loss = last.reduce((sum, loss) => sum + loss, 0) / last.length;
  return { learningRate: rate, loss: Number.isFinite(loss) ? loss : Infinity };
}

/** The one with the lowest loss; of equal ones the lowest rate. */
function lowest(tried: readonly TriedRate[]): TriedRate {
  return tried.reduce((best, entry) => entry.loss < best.loss ? entry : best);
}

function round(rate: number): number {
  return Number(rate.toPrecision(2));
}
