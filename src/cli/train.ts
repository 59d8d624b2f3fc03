/**
 * `train`: fine-tunes a model.
 *
 * @module
 */

import { join } from "node:path";
import type { Dataset } from "../data/dataset.ts";
import { dataWarnings } from "../data/statistics.ts";
import type { Device } from "../gpu/device.ts";
import { Model } from "../inference/model.ts";
import { formOf } from "../inference/save_model.ts";
import { LOG_FILE } from "../train/log.ts";
import type { TrainingMetrics } from "../train/metrics.ts";
import { evaluationShape } from "../train/options.ts";
import { tellingKept } from "../train/kept.ts";
import { restartOnDeviceLost } from "../train/restart.ts";
import { Trainer } from "../train/trainer.ts";
import { command, needed } from "./command.ts";
import type { Command } from "./command_type.ts";
import { openTrainingData, showDataset } from "./data.ts";
import { locate, shownModel } from "./located.ts";
import { formatBytes, formatCount, formatDuration } from "./format.ts";
import { findRate } from "./find_rate.ts";
import { showLoading } from "./loading.ts";
import { methodName, savesAdapter, trainingMethod } from "./method.ts";
import { openDevice } from "./open_device.ts";
import { Progress } from "./progress.ts";
import { readSamples, Records, type Samples } from "./records.ts";
import { estimateRows } from "./row_estimate.ts";
import { StatusLine } from "./status_line.ts";
import {
  expectFree,
  expectNotModel,
  resumedOptions,
  runFolder,
  takeFolder,
  trainerOptions,
  writeOptions,
} from "./run_folder.ts";
import { compareSaved, ROUNDED_UNKNOWN } from "./saved_loss.ts";
import { superviseTraining } from "./supervise.ts";
import { noticesOn, outlivingReaders, tell, type Terminal } from "./terminal.ts";
import { choiceOf, gain } from "./train_summary.ts";
import { TRAIN_FLAGS, type TrainValues } from "./train_flags.ts";

/** The command `train`. */
export const train: Command = command({
  name: "train",
  summary: "Fine-tune a model",
  synopsis: "--model MODEL --data DATA [options]",
  flags: TRAIN_FLAGS,
  run,
});

async function run(words: TrainValues, plain: Terminal): Promise<number> {
  const isRun = !words.findLearningRate && words.showRows === undefined;
  const code = isRun ? await superviseTraining(words, plain) : null;
  if (code !== null) return code;
  using line = new StatusLine(outlivingReaders(plain));
  const { terminal } = line;
  const { order } = terminal.program?.supervisor ?? {};
  const given: TrainValues = { ...words, ...order?.from };
  const { resumeFrom } = given;
  const onNotice = noticesOn(terminal);
  const stop = { at: exitNow };
  using _ = isRun ? terminal.onStop((code) => stop.at(code)) : null;
  const output = await runFolder(given);
  if (isRun && resumeFrom === undefined) await expectNotModel(output, needed(given, "model"));
  using _lock = isRun ? await takeFolder(output, onNotice) : null;
  const named = resumeFrom === undefined
    ? given
    : await resume(resumeFrom, output, given, terminal);
  const overwrite = named.overwrite ?? false;
  if (resumeFrom === undefined && isRun && !overwrite) await expectFree(output);
  if (named.showRows !== undefined) return await showDataset(named, terminal);
  const samples = await readSamples(named, terminal);
  const { data, evalData } = await openTrainingData(named, terminal);
  const values = await locate(named, terminal);
  const folder = needed(values, "model");
  if (values.findLearningRate) return await findRate(values, { data, evalData }, terminal);
  const { seconds, step } = order?.begun ?? {};
  const started = seconds === undefined ? {} : { at: performance.now() - 1000 * seconds, step };
  const job = { values, folder, data, evalData, output, overwrite, samples, stop, started };
  return await restartOnDeviceLost((from) => attempt({ ...job, ...from }, line), {
    restarts: values.onDeviceLost === "restart" ? undefined : 0,
    onNotice: (notice) => tell(terminal, "warning", notice),
  });
}

/** Until there is something to save, the process ends at once. */
function exitNow(code: number): void {
  Deno.exit(code);
}

/** What an attempt trains. */
interface Job {
  /** With the model's name as it is on this machine. */
  values: TrainValues;
  /** Of the model. */
  folder: string;
  data: Dataset;
  evalData: Dataset | null;
  output: string;
  overwrite: boolean;
  samples: Samples;
  /** Instead of where the values say. */
  resumeFrom?: string;
  /** What is done when the process is asked to end. */
  stop: { at(code: number): void };
  /** When and at which step the first attempt began to train. */
  started: { at?: number; step?: number };
}

/** Trains on a device of its own. */
async function attempt(job: Job, line: StatusLine): Promise<number> {
  const { values, folder, data, evalData, output, overwrite, stop, started } = job;
  const { resumeFrom = values.resumeFrom } = job;
  const { terminal } = line;
  const onNotice = noticesOn(terminal);
  stop.at = exitNow;
  await using device = await openDevice(values, terminal);
  using training = new DisposableStack();
  await showLoading(line, device);
  const model = training.use(
    await Model.load(folder, { device, chatTemplate: values.chatTemplate, onNotice }),
  );
  const method = await trainingMethod(values, device, terminal);
  await showLoading(line, device, { values, model, method });
  const trainer = training.use(
    await Trainer.create({
      ...trainerOptions(values),
      model,
      data,
      method,
      evalData: evalData ?? undefined,
      outputDir: output,
      overwrite,
      resumeFrom,
      resumeAnyway: values.resumeAnyway,
      resumeFallback: values.resumeFallback,
      onNotice,
    }),
  );
  const form = { saveAs: values.saveAs, rotated: values.saveRotated, seed: trainer.options.seed };
  formOf(await model.network(), form); // an error before anything is trained
  introduce(terminal, values, device, trainer);
  line.phase("evaluating the held-out rows");
  if (evalData && trainer.evaluations.length === 0) await trainer.evaluate();
  const before = trainer.evaluations.at(0);
  if (before) terminal.stderr(`held-out loss before: ${before.loss.toFixed(4)}\n`);

  const begun = started.at ??= performance.now();
  const first = started.step ??= trainer.step;
  let stopped: number | null = null;
  stop.at = (code) => {
    stopped = code;
    trainer.stop();
  };
  using records = await Records.open({ values, trainer, samples: job.samples, output, terminal });
  await watch(
    line,
    trainer,
    data,
    records,
    () => writeOptions(output, values, trainer.options),
  );
  for (const warning of dataWarnings(trainer.dataStatistics)) {
    tell(terminal, "warning", warning);
  }
  const { saveEvery } = trainer.options;
  const remedy = saveEvery !== 0
    ? `go on with --resume-from ${output}`
    : "with --save-every 0 there is no checkpoint to go on from";
  if (stopped !== null) {
    terminal.stderr(`interrupted after step ${trainer.step}: ${remedy}\n`);
    return stopped;
  }
  await records.end();
  stop.at = (code) => {
    terminal.stderr(`interrupted while saving: ${remedy}\n`);
    Deno.exit(code);
  };
  const last = trainer.evaluations.at(-1);
  line.phase("saving");
  if (values.loadBest) await trainer.restoreBest();
  const { rounded } = await trainer.save(output, {
    ...form,
    overwrite: overwrite || resumeFrom !== undefined,
  });
  line.show(null);
  const seconds = (performance.now() - begun) / 1000;
  const steps = (values.loadBest && last ? last.step : trainer.step) - first;
  const time = formatDuration(seconds);
  const peak = formatBytes(device.peakBytes);
  terminal.stdout(`trained ${formatCount(steps)} steps in ${time}, ${peak} on the GPU at most\n`);
  const after = values.loadBest ? trainer.best : last;
  if (after) {
    terminal.stdout(gain(before!, after));
    terminal.stdout(choiceOf(trainer, last!));
  }
  if (rounded && after && evalData) {
    const shape = evaluationShape(trainer.options);
    const trained = { step: trainer.step, loss: after.loss, shape };
    training.dispose(); // makes room for what was saved
    const subject = { device, data: evalData, trained };
    await tellingKept(trainer, compareSaved(output, subject, terminal));
  } else if (rounded) {
    terminal.stdout(ROUNDED_UNKNOWN);
  }
  const kind = values.saveAs === undefined && savesAdapter(values) ? "adapter" : "model";
  terminal.stdout(`${kind}: ${output}\n`);
  terminal.stdout(`log: ${join(output, LOG_FILE)}\n`);
  if (saveEvery !== 0) terminal.stdout(`checkpoints: ${output}, to go on with --resume-from\n`);
  return 0;
}

/** The options of a run to go on with; says what is read because the folder names it. */
async function resume(
  resumeFrom: string,
  folder: string,
  given: TrainValues,
  terminal: Terminal,
): Promise<TrainValues> {
  const { values, named } = await resumedOptions(resumeFrom, folder, given);
  if (named !== null) terminal.stderr(`${named}\n`);
  return values;
}

/** Trains to the end, or until the trainer is stopped, showing progress. */
async function watch(
  line: StatusLine,
  trainer: Trainer,
  data: Dataset,
  records: Records,
  begun: () => Promise<void>,
): Promise<void> {
  const { totalSteps, step: firstStep, options: { logEvery, epochs = 1 } } = trainer;
  const rows = totalSteps === null ? await estimateRows(data) : null;
  const estimate = ({ step, tokens }: TrainingMetrics): number | null => {
    const { dataStatistics: read } = trainer;
    return rows === null ? null : stepsOf(epochs * rows * read.tokens / read.rows, tokens / step);
  };
  const activity = () => trainer.activity === "training" ? null : trainer.activity;
  const options = { firstStep, totalSteps, logEvery, estimate, activity, line };
  using progress = new Progress(line.terminal, options);
  let written = false;
  for await (const metrics of trainer.run()) {
    // Before the first checkpoint, and not before there is something to go on with.
    if (!written) await begun();
    written = true;
    progress.update(metrics);
    await records.update(metrics);
  }
}

/** Steps of so many tokens each that the data needs. */
function stepsOf(tokens: number, perStep: number): number | null {
  return tokens > 0 && perStep > 0 ? Math.ceil(tokens / perStep) : null;
}

function introduce(
  terminal: Terminal,
  values: TrainValues,
  { name, provider }: Device,
  { step, options, model: { config: { hiddenSize } } }: Trainer,
): void {
  const { batchSize, sequenceLength, gradAccumSteps } = options;
  const batch = `${batchSize * gradAccumSteps} rows of ${sequenceLength} tokens per step`;
  const from = step > 0 ? `, from step ${step}` : "";
  terminal.stderr(
    `training ${shownModel(values.model!)} by ${methodName(values)} on ${name} (${provider}): ` +
      `${batch}${from}\n`,
  );
  if (values.learningRate === undefined) {
    terminal.stderr(
      `learning rate ${options.learningRate}: what suits this method at a width of ${hiddenSize}; ` +
        "--find-learning-rate tries others on your data\n",
    );
  }
}
