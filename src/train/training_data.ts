/**
 * The stream of batches of a run, and the number of its steps.
 *
 * @module
 */

import { openLoader } from "../data/open_loader.ts";
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
