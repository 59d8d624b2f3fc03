/**
 * Going on after the GPU was lost: the work is done again on another device, from what is kept.
 *
 * @module
 */

import { checkInteger, checkNumber, checkOptions, type Names } from "../checks.ts";
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

/** Restarts in a row that begin at the same step, at most. */
const RESTARTS = 3;
/** Seconds before a restart: a driver that resets needs a moment. */
export const PAUSE = 2;

/** Options of {@linkcode restartOnDeviceLost}. */
export interface RestartOptions {
  /** Most restarts in a row that begin at the same step. Default 3. */
  restarts?: number;
  /** Seconds before a restart: a driver that resets needs a moment. Default 2. */
  pause?: number;
  /** Is told of every restart, in a sentence. Default: `console.warn`. */
  onNotice?: (notice: string) => void;
}

/** The names of {@linkcode RestartOptions}. */
const RESTART_NAMES: Names<RestartOptions> = { restarts: true, pause: true, onNotice: true };

/**
 * Trains whatever happens to the GPU: where it is lost, the work is done again on a new device, from the
 * last checkpoint, or from the start if none was written. The result is that of a run without the loss,
 * bit for bit.
 *
 * Deno's own WebGPU ends the process when a driver loses the device while its work is waited for, and such a
 * loss does not come here: only another process can go on then, as that of the command line's
 * `--on-device-lost restart` does. On Dawn every loss comes here.
 *
 * @param attempt Opens a device, loads the model, trains with these options over its own, and saves. It is
 * called again after each loss, and has to dispose of what it opens.
 * @returns What the last attempt returned.
 * @throws {OptionError} for options that are unknown or out of range.
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
  options: RestartOptions = {},
): Promise<T> {
  checkOptions("restartOnDeviceLost", options, RESTART_NAMES);
  const { restarts = RESTARTS, pause = PAUSE, onNotice = noticeOnConsole } = options;
  checkInteger("restarts", restarts, 0);
  checkNumber("pause", pause, 0);
  const counted = new Restarts(restarts);
  for (let from: RestartFrom = {};;) {
    try {
      return await attempt(from);
    } catch (error) {
      if (!(error instanceof DeviceLostError)) throw error;
      const next = counted.after(error, "the GPU was lost", "on a new device");
      onNotice(next.notice);
      from = next.from;
      await new Promise((resolve) => setTimeout(resolve, 1000 * pause));
    }
  }
}

/** Counts the restarts of a run, and says how it goes on. */
export class Restarts {
  readonly #restarts: number;
  #from: RestartFrom = {};
  /** The step at which the last restart began; -1 before one. */
  #start = -1;
  #inVain = 0;

  /** @param restarts Most in a row that begin at the same step. */
  constructor(restarts = RESTARTS) {
    this.#restarts = restarts;
  }

  /**
   * How to go on after a loss, and a sentence about it.
   *
   * @param what Happened, as its beginning: "the GPU was lost".
   * @param where The run goes on: "on a new device".
   * @throws {DeviceLostError} the same one, after so many restarts that did not come any further.
   */
  after(
    error: DeviceLostError,
    what: string,
    where: string,
  ): { from: RestartFrom; notice: string } {
    const { step, kept } = error;
    // A loss before there was a trainer changes nothing: it began no step and wrote nothing.
    if (step !== null) this.#from = kept ? { resumeFrom: kept.folder } : { overwrite: true };
    const next = step === null ? this.#start : kept?.step ?? 0;
    this.#inVain = next > this.#start ? 1 : this.#inVain + 1;
    this.#start = next;
    if (this.#inVain > this.#restarts) throw tired(error, this.#restarts);
    const which = `restart ${this.#inVain} of at most ${this.#restarts} from there`;
    return { from: this.#from, notice: `${what} ${continuation(error, where)}, ${which}` };
  }
}

function continuation({ step, kept }: DeviceLostError, where: string): string {
  if (step === null) return `before training: trying again ${where}`;
  const place = kept ? `going on from "${kept.folder}"` : "starting again at step 1";
  const begin = kept?.step ?? 0;
  const again = step > begin ? `, ${stepsInWords(begin, step)} done again` : "";
  return `after step ${step}: ${place} ${where}${again}`;
}

/** The last loss, for those who wonder why it was not enough. */
function tired(error: DeviceLostError, restarts: number): DeviceLostError {
  error.message += restarts === 0
    ? ""
    : `; it was restarted ${restarts} times in a row without coming any further`;
  return error;
}
