/**
 * `train`: fine-tunes a model.
 *
 * @module
 */

import { join } from "node:path";
import type { Dataset } from "../data/dataset.ts";
import { dataWarnings } from "../data/statistics.ts";
import { OptionError } from "../errors.ts";
import type { Device } from "../gpu/device.ts";
import { Model } from "../inference/model.ts";
import type { Evaluation } from "../inference/evaluate.ts";
import { formOf } from "../inference/save_model.ts";
import { LOG_FILE } from "../train/log.ts";
import { Trainer } from "../train/trainer.ts";
import { command, needed } from "./command.ts";
import type { Command } from "./command_type.ts";
import { openDataset, showDataset } from "./data.ts";
import { locate, shownModel } from "./located.ts";
import { formatBytes, formatCount, formatDuration } from "./format.ts";
import { methodName, savesAdapter, trainingMethod } from "./method.ts";
import { openDevice } from "./open_device.ts";
import { Progress } from "./progress.ts";
import { expectFree, resumedOptions, trainerOptions, writeOptions } from "./run_folder.ts";
import { compareSaved, evaluationShape, ROUNDED_UNKNOWN } from "./saved_loss.ts";
import { INTERRUPTED, noticesOn, type Terminal } from "./terminal.ts";
import { TRAIN_FLAGS, type TrainValues } from "./train_flags.ts";

/** The command `train`. */
export const train: Command = command({
  name: "train",
  summary: "Fine-tune a model",
  synopsis: "--model MODEL --data DATA [options]",
  flags: TRAIN_FLAGS,
  run,
});

async function run(given: TrainValues, terminal: Terminal): Promise<number> {
  const { resumeFrom } = given;
  const named = resumeFrom === undefined ? given : await resumedOptions(resumeFrom, given);
  const output = named.outputDir ?? "./out";
  const overwrite = named.overwrite ?? false;
  if (resumeFrom === undefined) await expectFree(output, needed(named, "model"), overwrite);
  if (named.showRows !== undefined) return await showDataset(named, terminal);
  const { data, evalData } = await openData(named, terminal);
  const values = await locate(named, terminal);
  const folder = needed(values, "model");
  await using device = await openDevice(values, terminal);
  using training = new DisposableStack();
  const onNotice = noticesOn(terminal);
  const model = training.use(await Model.load(folder, { device, onNotice }));
  const trainer = training.use(
    await Trainer.create({
      ...trainerOptions(values),
      model,
      data,
      method: await trainingMethod(values, device, terminal),
      evalData: evalData ?? undefined,
      outputDir: output,
      overwrite,
      resumeFrom,
      onNotice,
    }),
  );
  const form = { saveAs: values.saveAs, rotated: values.saveRotated, seed: trainer.options.seed };
  formOf(await model.network(), form); // an error before anything is trained
  introduce(terminal, values, device, trainer);
  const before = evalData && await trainer.evaluate(evalData);
  if (before) terminal.stderr(`held-out loss before: ${before.loss.toFixed(4)}\n`);

  const begun = performance.now();
  const first = trainer.step;
  const interrupted = await watch(
    terminal,
    trainer,
    () => writeOptions(output, values, trainer.options),
  );
  for (const warning of dataWarnings(trainer.dataStatistics)) {
    terminal.stderr(`warning: ${warning}\n`);
  }
  const { saveEvery } = trainer.options;
  if (interrupted) {
    const remedy = saveEvery > 0
      ? `go on with --resume-from ${output}`
      : "without --save-every there is no checkpoint to go on from";
    terminal.stderr(`interrupted after step ${trainer.step}: ${remedy}\n`);
    return INTERRUPTED;
  }
  const { rounded } = await trainer.save(output, {
    ...form,
    overwrite: overwrite || resumeFrom !== undefined,
  });
  const seconds = (performance.now() - begun) / 1000;
  const steps = trainer.step - first;
  const time = formatDuration(seconds);
  const peak = formatBytes(device.peakBytes);
  terminal.stdout(`trained ${formatCount(steps)} steps in ${time}, ${peak} on the GPU at most\n`);
  const after = evalData && await trainer.evaluate(evalData);
  if (after) terminal.stdout(gain(before!, after));
  if (rounded && after) {
    const trained = { step: trainer.step, loss: after.loss, shape: evaluationShape(trainer) };
    training.dispose(); // makes room for what was saved
    await compareSaved(output, { device, data: evalData, trained }, terminal);
  } else if (rounded) {
    terminal.stdout(ROUNDED_UNKNOWN);
  }
  const kind = values.saveAs === undefined && savesAdapter(values) ? "adapter" : "model";
  terminal.stdout(`${kind}: ${output}\n`);
  terminal.stdout(`log: ${join(output, LOG_FILE)}\n`);
  if (saveEvery > 0) terminal.stdout(`checkpoints: ${output}, to go on with --resume-from\n`);
  return 0;
}

/** The rows to train on and those held out. */
async function openData(
  values: TrainValues,
  terminal: Terminal,
): Promise<{ data: Dataset; evalData: Dataset | null }> {
  const { evalData: heldOut, evalFraction, seed } = values;
  const data = await openDataset(needed(values, "data"), values, terminal);
  if (heldOut === undefined && evalFraction === undefined) return { data, evalData: null };
  if (heldOut === undefined) {
    const { train, heldOut } = data.split(evalFraction!, seed);
    return { data: train, evalData: heldOut };
  }
  if (evalFraction !== undefined) {
    throw new OptionError(
      "Cannot use --eval-data and --eval-fraction together as each says what is held out: give one",
    );
  }
  return {
    data,
    evalData: await openDataset(heldOut, { ...values, dataWeights: undefined }, terminal),
  };
}

/**
 * Trains to the end or to Ctrl-C, showing progress.
 *
 * @returns Whether Ctrl-C ended it.
 */
async function watch(
  terminal: Terminal,
  trainer: Trainer,
  begun: () => Promise<void>,
): Promise<boolean> {
  let interrupted = false;
  using _ = terminal.onInterrupt(() => {
    interrupted = true;
    trainer.stop();
  });
  const { totalSteps, step: firstStep, options: { logEvery } } = trainer;
  using progress = new Progress(terminal, { firstStep, totalSteps, logEvery });
  let written = false;
  for await (const metrics of trainer.run()) {
    // Before the first checkpoint, and not before there is something to go on with.
    if (!written) await begun();
    written = true;
    progress.update(metrics);
  }
  return interrupted;
}

function introduce(
  terminal: Terminal,
  values: TrainValues,
  { name, provider }: Device,
  { step, options }: Trainer,
): void {
  const { batchSize, sequenceLength, gradAccumSteps } = options;
  const batch = `${batchSize * gradAccumSteps} rows of ${sequenceLength} tokens per step`;
  const from = step > 0 ? `, from step ${step}` : "";
  terminal.stderr(
    `training ${shownModel(values.model!)} by ${methodName(values)} on ${name} (${provider}): ` +
      `${batch}${from}\n`,
  );
}

function gain(before: Evaluation, after: Evaluation): string {
  const { loss, perplexity, tokens } = after;
  return `held-out loss: ${before.loss.toFixed(4)} before, ${loss.toFixed(4)} after ` +
    `(perplexity ${perplexity.toFixed(2)}, ${formatCount(tokens)} targets)\n`;
}
