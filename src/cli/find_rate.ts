/**
 * `train --find-learning-rate`: tries learning rates and shows what came of them.
 *
 * @module
 */

import type { Dataset } from "../data/dataset.ts";
import { Model } from "../inference/model.ts";
import { findLearningRate, type TriedRate } from "../train/find_learning_rate.ts";
import { needed } from "./command.ts";
import { formatList } from "./format.ts";
import { trainingMethod } from "./method.ts";
import { openDevice } from "./open_device.ts";
import { trainerOptions } from "./run_folder.ts";
import { StatusLine } from "./status_line.ts";
import { INTERRUPTED, noticesOn, type Terminal } from "./terminal.ts";
import type { TrainValues } from "./train_flags.ts";

const BAR_WIDTH = 40;

/**
 * Tries rates with the options of a run, and writes the plot and the best rate.
 *
 * @returns The exit code.
 */
export async function findRate(
  values: TrainValues,
  { data, evalData }: { data: Dataset; evalData: Dataset | null },
  plain: Terminal,
): Promise<number> {
  using line = new StatusLine(plain);
  const { terminal } = line;
  await using device = await openDevice(values, terminal);
  const onNotice = onceEach(noticesOn(terminal));
  const { chatTemplate } = values;
  using model = await Model.load(needed(values, "model"), { device, chatTemplate, onNotice });
  const stop = new AbortController();
  let code = INTERRUPTED;
  using _ = terminal.onStop((given) => {
    code = given;
    stop.abort();
  });
  line.phase("loading the model, compiling kernels");
  const what = evalData ? "held-out loss" : "loss of the last steps";
  try {
    const { steps = 40, ...options } = trainerOptions(values);
    const { learningRate, tried } = await findLearningRate({
      ...options,
      model,
      data,
      method: await trainingMethod(values, device, terminal),
      evalData: evalData ?? undefined,
      onNotice,
    }, {
      steps,
      signal: stop.signal,
      onStep: ({ learningRate, tried, step, loss }) =>
        line.show(() =>
          `rate ${tried + 1}, ${learningRate}: step ${step} of ${steps}, loss ${loss.toFixed(4)}`
        ),
      onTried: ({ learningRate, loss }) =>
        terminal.stderr(`learning rate ${learningRate}: ${what} ${loss.toFixed(4)}\n`),
    });
    line.show(null);
    terminal.stdout(`${what} after ${steps} steps by learning rate\n${plot(tried, learningRate)}`);
    terminal.stdout(
      `best: --learning-rate ${learningRate} (long runs and large models often do better with a ` +
        "somewhat lower rate)\n",
    );
    return 0;
  } catch (error) {
    if (stop.signal.aborted && error === stop.signal.reason) return code;
    throw error;
  }
}

/** Bars from the lowest loss to the highest finite one, which are the shorter the better. */
function plot(tried: readonly TriedRate[], best: number): string {
  const losses = tried.map(({ loss }) => loss).filter(Number.isFinite);
  const [least, most] = [Math.min(...losses), Math.max(...losses)];
  const length = (loss: number) =>
    most === least ? 0 : Math.round(BAR_WIDTH * (loss - least) / (most - least));
  return formatList(tried.map(({ learningRate, loss }) => [
    `${learningRate}`,
    Number.isFinite(loss)
      ? `${loss.toFixed(4)} ${"#".repeat(length(loss))}${learningRate === best ? " best" : ""}`
      : "too high: the model was destroyed",
  ]));
}

/** Tells a notice once, however often it comes: each run of a sweep has the same. */
function onceEach(tell: (notice: string) => void): (notice: string) => void {
  const told = new Set<string>();
  return (notice) => {
    if (told.has(notice)) return;
    told.add(notice);
    tell(notice);
  };
}
