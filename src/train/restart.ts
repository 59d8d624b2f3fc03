/**
 * Going on after the GPU was lost: the work is done again on another device, from what is kept.
 *
 * @module
 */

import { checkInteger, checkNumber } from "../checks.ts";
import { DeviceLostError } from "../errors.ts";
import { noticeOnConsole } from "../printable.ts";
import { stepsInWords } from "./kept.ts";

/** How an attempt begins: options of `Trainer.create`, over those of the first attempt. */
export interface RestartFrom {
  /** The checkpoint to go on from. */
  resumeFrom?: string;
  /** Set where a lost attempt left a log and no checkpoint, which this one replaces. */
  overwrite?: true;
}

/** Options of {@linkcode restartOnDeviceLost}. */
export interface RestartOptions {
  /** Most restarts in a row that begin at the same step. Default 3. */
  restarts?: number;
  /** Seconds before a restart: a driver that resets needs a moment. Default 2. */
  pause?: number;
  /** Is told of every restart, in a sentence. Default: `console.warn`. */
  onNotice?: (notice: string) => void;
}

/**
 * Trains whatever happens to the GPU: where it is lost, the work is done again on a new device, from the
 * last checkpoint, or from the start if none was written. The result is that of a run without the loss,
 * bit for bit.
 *
 * Deno's own WebGPU ends the process when a driver loses the device while its work is waited for; that is
 * beyond the reach of a program. On Dawn every loss comes here.
 *
 * @param attempt Opens a device, loads the model, trains with these options over its own, and saves. It is
 * called again after each loss, and has to dispose of what it opens.
 * @returns What the last attempt returned.
 * @throws {DeviceLostError} after so many restarts that did not come any further.
 * @throws Whatever else an attempt throws.
 * @example
 * ```ts
 * import { Dataset, full, Model, requestDevice, restartOnDeviceLost, Trainer } from "@falqon/webgpu";
 *
 * const data = Dataset.from("./train.jsonl");
 * await restartOnDeviceLost(async (from) => {
 *   await using device = await requestDevice();
 *   using model = await Model.load("./model", { device });
 *   const options = { model, data, method: full(), steps: 30, outputDir: "./out", ...from };
 *   using trainer = await Trainer.create(options);
 *   await trainer.train();
 *   await trainer.save("./out", { overwrite: true });
 * });
 * ```
 */
export async function restartOnDeviceLost<T>(
  attempt: (from: RestartFrom) => Promise<T>,
  { restarts = 3, pause = 2, onNotice = noticeOnConsole }: RestartOptions = {},
): Promise<T> {
  checkInteger("restarts", restarts, 0);
  checkNumber("pause", pause, 0);
  let from: RestartFrom = {};
  let start = -1;
  for (let inVain = 0;;) {
    try {
      return await attempt(from);
    } catch (error) {
      if (!(error instanceof DeviceLostError)) throw error;
      const { step, kept } = error;
      // A loss before there was a trainer changes nothing: it began no step and wrote nothing.
      if (step !== null) from = kept ? { resumeFrom: kept.folder } : { overwrite: true };
      const next = step === null ? start : kept?.step ?? 0;
      inVain = next > start ? 1 : inVain + 1;
      start = next;
      if (inVain > restarts) throw tired(error, restarts);
      onNotice(announcement(error, `restart ${inVain} of at most ${restarts} from there`));
      await new Promise((resolve) => setTimeout(resolve, 1000 * pause));
    }
  }
}

function announcement({ step, kept }: DeviceLostError, which: string): string {
  if (step === null) {
    return `the GPU was lost before training: trying again on a new device, ${which}`;
  }
  const place = kept ? `going on from "${kept.folder}"` : "starting again at step 1";
  const begin = kept?.step ?? 0;
  const again = step > begin ? `, ${stepsInWords(begin, step)} done again` : "";
  return `the GPU was lost after step ${step}: ${place} on a new device${again}, ${which}`;
}

/** The last loss, for those who wonder why it was not enough. */
function tired(error: DeviceLostError, restarts: number): DeviceLostError {
  error.message += restarts === 0
    ? ""
    : `; it was restarted ${restarts} times in a row without coming any further`;
  return error;
}
