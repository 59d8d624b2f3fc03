/**
 * One run of `bench/accuracy.ts`: held-out loss, training, held-out loss.
 *
 * @module
 */

import type { Dataset } from "../../src/data/dataset.ts";
import { evaluate } from "../../src/inference/evaluate.ts";
import type { Model } from "../../src/inference/model.ts";
import type { PeftAdapter } from "../../src/io/peft.ts";
import { initBatchCount } from "../../src/train/gradient_init.ts";
import type { TrainingMetrics } from "../../src/train/metrics.ts";
import { resolveOptions } from "../../src/train/options.ts";
import { Trainer } from "../../src/train/trainer.ts";
import { openTrainingLoader } from "../../src/train/training_data.ts";
import { type Contender, makeMethod, type MethodOptions } from "./accuracy_methods.ts";
import type { Result } from "./accuracy_report.ts";
import { gradientAdapter } from "./gradient_start.ts";
import { median } from "./measure.ts";

/** Steps between two read-backs. */
const LOG_EVERY = 50;

/** What is trained, on what. */
export interface Run {
  model: Model;
  train: Dataset;
  heldOut: Dataset;
  contender: Contender;
  /** Options over the contender's own. */
  more: MethodOptions;
  rank: number;
  alpha: number;
  batchSize: number;
  sequenceLength: number;
}

/** How one run differs from others of the same sweep. */
export interface RunSettings extends Run {
  steps: number;
  learningRate: number;
  beta1: number;
  seed: number;
  updateStats: boolean;
}

/** Trains once, and measures. */
export async function train(run: RunSettings): Promise<Partial<Result>> {
  const { model, contender, batchSize, sequenceLength, steps, learningRate, beta1, seed } = run;
  const shape = { batchSize, sequenceLength };
  const times = contender.ranks ?? 1;
  const size = { rank: times * run.rank, alpha: times * run.alpha };
  const heldOutLoss = async () => (await evaluate(model, run.heldOut, shape)).loss;
  const begun = performance.now();
  using trainer = await Trainer.create({
    model,
    data: run.train,
    method: makeMethod(contender, size, run.more, await startOfA(run, size)),
    ...shape,
    steps,
    learningRate,
    optimizer: { beta1 },
    schedule: "linear",
    warmupSteps: Math.round(steps / 20),
    seed,
    logEvery: LOG_EVERY,
    updateStats: run.updateStats,
  });
  const before = await heldOutLoss();
  const setUp = performance.now();
  const all: TrainingMetrics[] = [];
  for await (const metrics of trainer.run()) all.push(metrics);
  const trained = performance.now();
  const after = await heldOutLoss();
  const last = all.at(-1)!;
  const ending = all.slice(-Math.ceil(steps / 10));
  const timed = all.filter(({ step }) => step > LOG_EVERY || steps <= LOG_EVERY);
  return {
    before,
    heldOutLoss: after,
    trainLoss: ending.reduce((sum, { loss }) => sum + loss, 0) / ending.length,
    updateRealized: last.updateRealized,
    codesChanged: last.codesChanged,
    clamps: last.clamps,
    tokensPerSecond: median(timed.map(({ tokensPerSecond }) => tokensPerSecond)),
    // The first step waits for the loader's worker to start, the others for the loader.
    waitShare: all.slice(1).reduce((sum, { waitMs }) => sum + waitMs, 0) / (trained - setUp),
    firstWaitMs: all[0].waitMs,
    setUpSeconds: (setUp - begun) / 1000,
    seconds: (trained - setUp) / 1000,
  };
}

/** The adapter that a contender starts from. */
async function startOfA(
  run: RunSettings,
  size: { rank: number; alpha: number },
): Promise<PeftAdapter | undefined> {
  const { model, contender: { start }, train: data, batchSize, sequenceLength, seed } = run;
  if (!start) return undefined;
  const options = resolveOptions({ model, batchSize, sequenceLength, seed });
  const loader = await openTrainingLoader({ model, data }, options, null);
  try {
    const count = start.batches || initBatchCount(batchSize * sequenceLength);
    const batches = [];
    for await (const batch of loader.batches()) {
      batches.push(batch);
      if (batches.length === count) break;
    }
    return await gradientAdapter(model, batches, { ...size, seed, passes: start.passes });
  } finally {
    loader.close();
  }
}
