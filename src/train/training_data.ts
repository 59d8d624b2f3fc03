/**
 * The stream of batches of a run, and the number of its steps.
 *
 * @module
 */

import type { Dataset } from "../data/dataset.ts";
import { openLoader } from "../data/open_loader.ts";
import { lookAtData } from "../data/preview.ts";
import type { Batch, Loader } from "../data/types.ts";
import type { ResolvedOptions, TrainerOptions } from "./options.ts";

/**
 * Opens the stream of a run's batches.
 *
 * @param date The day that the chat template is told; null where it does not name the date.
 */
export function openTrainingLoader(
  { model, data }: Pick<TrainerOptions, "model" | "data">,
  { batchSize, sequenceLength, epochs, seed, rows }: ResolvedOptions,
  date: string | null,
): Promise<Loader> {
  return openLoader({
    ...rows,
    batchSize,
    sequenceLength,
    epochs: epochs === undefined ? undefined : Math.ceil(epochs),
    seed,
    dataset: data,
    tokenizerFolder: model.folder,
    tokenizerOptions: { ...model.tokenizer.options, ...date !== null && { date } },
    vocabSize: model.config.vocabSize,
  });
}

/**
 * Looks at the first rows to train on, and at those held out, before anything is made of the model.
 *
 * @param onNotice Is told what is dropped, cut or not used of them.
 * @param signal Ends it: its reason is thrown.
 * @throws {DataError} for malformed rows, unless they are skipped, or data without a target.
 */
export async function announceData(
  { model, data, evalData }: Pick<TrainerOptions, "model" | "data" | "evalData">,
  { sequenceLength, rows }: ResolvedOptions,
  onNotice: (notice: string) => void,
  signal?: AbortSignal,
): Promise<void> {
  const { vocabSize } = model.config;
  const options = { ...rows, batchSize: 1, sequenceLength, vocabSize };
  const look = (rows: Dataset, purpose: "train" | "evaluate") =>
    lookAtData(rows, model.tokenizer, options, { purpose, signal });
  for (const warning of await look(data, "train")) onNotice(`of the data ${warning}`);
  if (evalData === undefined) return;
  for (const warning of await look(evalData, "evaluate")) {
    onNotice(`of the held-out data ${warning}`);
  }
}

/**
 * The steps of a run: as told, or for a schedule that must know them, counted by reading the data
 * ahead.
 *
 * The count cannot come while training, as the first step after the warm-up depends on it already,
 * and an estimate would give another learning rate than the same run with `steps`. So it is
 * announced: on a large file it takes minutes.
 *
 * @param onNotice Is told when the data must be counted, and what came out.
 * @param signal Ends the count: its reason is thrown.
 * @returns Null where the data decides.
 */
export async function countSteps(
  source: Pick<TrainerOptions, "model" | "data">,
  options: ResolvedOptions,
  date: string | null,
  onNotice: (notice: string) => void,
  signal?: AbortSignal,
): Promise<number | null> {
  const { steps, schedule, epochs, warmupRatio } = options;
  const whole = Math.ceil(epochs ?? 1);
  const part = epochs === undefined ? 1 : epochs / whole;
  // Given steps alone end the run; parts of an epoch do if they come first.
  if (steps !== undefined && part === 1) return steps;
  const reason = schedule !== "constant"
    ? `the schedule ${schedule}`
    : warmupRatio > 0
    ? "a warm-up by share"
    : part < 1
    ? "a part of an epoch"
    : null;
  if (reason === null) return null;
  onNotice(
    `${reason} must know the number of steps, so the data is tokenised ` +
      `${whole === 1 ? "once" : `${whole} times`} to count them before training begins; give ` +
      `${steps === undefined ? "steps" : "whole epochs"} to begin at once`,
  );
  const begun = performance.now();
  const loader = await openTrainingLoader(source, options, date);
  try {
    let batches = 0;
    for await (const _ of loader.batches()) {
      signal?.throwIfAborted();
      batches++;
    }
    const all = Math.ceil(part * batches / options.gradAccumSteps);
    const count = Math.min(all, steps ?? Infinity);
    const seconds = ((performance.now() - begun) / 1000).toFixed(1);
    onNotice(`counted ${count} steps in ${seconds} s`);
    return count;
  } finally {
    loader.close();
  }
}

/** Reads the micro-batches of a step, at the end of the data those that are left. */
export async function readGroup(batches: AsyncGenerator<Batch>, count: number): Promise<Batch[]> {
  const group: Batch[] = [];
  while (group.length < count) {
    const { value, done } = await batches.next();
    if (done) break;
    group.push(value);
  }
  return group;
}
