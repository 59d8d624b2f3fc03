/**
 * One attempt at the run of tests/train/crash_test.ts, which kills it: begins the run, or goes on from its newest
 * checkpoint. Prints `step <n>` after each step.
 *
 * Run: `deno run -A tests/support/crash_run.ts FOLDER OUTPUT STEPS`, with a tiny model and train.jsonl in FOLDER.
 *
 * @module
 */

import { join } from "node:path";
import { Dataset, falqon, Model, requestDevice, Trainer } from "../../mod.ts";

const [folder, output, steps] = Deno.args;
const begun = [...Deno.readDirSync(output)].some(({ name }) => name.startsWith("checkpoint-"));

using device = await requestDevice();
using model = await Model.load(folder, { device });
using trainer = await Trainer.create({
  model,
  data: Dataset.from(join(folder, "train.jsonl")),
  method: falqon({ rank: 5, topK: 3 }),
  batchSize: 2,
  sequenceLength: 32,
  gradAccumSteps: 2,
  steps: Number(steps),
  learningRate: 3e-3,
  schedule: "cosine",
  optimizer: { weightDecay: 0.01 },
  seed: 3,
  logEvery: 1,
  saveEvery: 2,
  keepCheckpoints: 3,
  outputDir: output,
  resumeFrom: begun ? output : undefined,
  overwrite: true, // a log without a checkpoint is of an attempt that was killed too early
});
for await (const { step } of trainer.run()) console.log(`step ${step}`);
