/**
 * The stream of batches of a run, and the number of its steps.
 *
 * @module
 */

import type { Dataset } from "../data/dataset.ts";
import { openLoader } from "../data/open_loader.ts";
import { lookAtData } from "../data/preview.ts";
import type { Loader } from "../data/types.ts";
import type { ResolvedOptions, TrainerOptions } from "./options.ts";

/** Opens the stream of a run's batches. */
export function openTrainingLoader(
  { model, data }: Pick<TrainerOptions, "model" | "data">,
  { batchSize, sequenceLength, epochs, seed, rows }: ResolvedOptions,
): Promise<Loader> {
  return openLoader({
    ...rows,
    batchSize,
    sequenceLength,
    epochs,
    seed,
    dataset: data,
    tokenizerFolder: model.folder,
    tokenizerOptions: model.tokenizer.options,
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
  onNotice: (notice: string) => void,
  signal?: AbortSignal,
): Promise<number | null> {
  const { steps, schedule, epochs = 1 } = options;
  if (steps !== undefined) return steps;
  if (schedule === "constant") return null;
  onNotice(
    `the schedule ${schedule} must know the number of steps, so the data is tokenised ` +
      `${epochs === 1 ? "once" : `${epochs} times`} to count them before training begins; give ` +
      "steps to begin at once",
  );
  const begun = performance.now();
  const loader = await openTrainingLoader(source, options);
  try {
    let batches = 0;
    for await (const _ of loader.batches()) {
      signal?.throwIfAborted();
      batches++;
    }
    const count = Math.ceil(batches / options.gradAccumSteps);
    const seconds = ((performance.now() - begun) / 1000).toFixed(1);
    onNotice(`counted ${count} steps in ${seconds} s`);
    return count;
  } finally {
    loader.close();
  }
}
