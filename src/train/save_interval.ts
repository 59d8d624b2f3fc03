/**
 * When a run saves checkpoints: every few steps, every few minutes, or with each epoch.
 *
 * @module
 */

import { OptionError } from "../errors.ts";
import { showJson } from "../io/json.ts";

/**
 * Steps between checkpoints; the time between them, such as `"10m"` (`s`, `m` or `h`); or `"epoch"`.
 * 0 for none.
 */
export type SaveInterval = number | `${number}${"s" | "m" | "h"}` | "epoch";

const TIME = /^(\d+(?:\.\d+)?)([smh])$/;
const MILLISECONDS: Readonly<Record<string, number>> = { s: 1e3, m: 6e4, h: 36e5 };

/**
 * What a word means as an interval: `500`, `10m`, `epoch`.
 *
 * @returns Undefined if it means none.
 */
export function parseSaveInterval(value: unknown): SaveInterval | undefined {
  const number = typeof value === "string" && value.trim() !== "" ? Number(value) : value;
  if (typeof number === "number" && Number.isSafeInteger(number) && number >= 0) return number;
  if (value === "epoch") return value;
  const time = typeof value === "string" ? TIME.exec(value) : null;
  return time && Number(time[1]) > 0 && Number(time[1]) < Infinity
    ? value as SaveInterval
    : undefined;
}

/** @throws {OptionError} for what is no interval. */
export function checkSaveInterval(value: SaveInterval): void {
  if (parseSaveInterval(value) === value) return;
  throw new OptionError(
    `Cannot use saveEvery ${showJson(value)}: give a number of steps, a time such as "10m", ` +
      '"epoch", or 0 for none',
  );
}

/** Tells when a checkpoint is due. */
export class SaveSchedule {
  readonly #steps: number;
  readonly #milliseconds: number;
  readonly #byEpoch: boolean;
  #savedAt = performance.now();
  #savedEpoch: number;

  /** @param epoch Times that the data was read completely when the run begins or goes on. */
  constructor(interval: SaveInterval, epoch: number) {
    const time = typeof interval === "string" ? TIME.exec(interval) : null;
    this.#steps = typeof interval === "number" ? interval : 0;
    this.#milliseconds = time ? Number(time[1]) * MILLISECONDS[time[2]] : 0;
    this.#byEpoch = interval === "epoch";
    this.#savedEpoch = epoch;
  }

  /** Whether the run saves at all. */
  get isOn(): boolean {
    return this.#steps > 0 || this.#milliseconds > 0 || this.#byEpoch;
  }

  /** Starts the clock: time in which a run does not train does not count. */
  begin(): void {
    this.#savedAt = performance.now();
  }

  /** Whether a checkpoint is due after a step. */
  isDue(step: number, epoch: number): boolean {
    if (this.#steps > 0) return step % this.#steps === 0;
    if (this.#byEpoch) return epoch > this.#savedEpoch;
    return this.#milliseconds > 0 && performance.now() - this.#savedAt >= this.#milliseconds;
  }

  /** Takes note of a checkpoint. */
  saved(epoch: number): void {
    this.#savedAt = performance.now();
    this.#savedEpoch = epoch;
  }
}
