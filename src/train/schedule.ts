/**
 * Learning-rate schedules: pure functions of the step, as transformers'
 * `get_*_schedule_with_warmup`.
 *
 * @module
 */

import { checkInteger, checkOneOf } from "../checks.ts";

/** The course of the learning rate after the warm-up. */
export type ScheduleName = "constant" | "linear" | "cosine";

/** Every {@linkcode ScheduleName}. */
export const SCHEDULES: readonly ScheduleName[] = ["constant", "linear", "cosine"];

/** Shape of a schedule. */
export interface ScheduleOptions {
  /** After the warm-up: constant, linear down to zero, or half a cosine down to zero. */
  schedule: ScheduleName;
  /** Steps over which the rate rises linearly from zero. Default 0. */
  warmupSteps?: number;
  /** Steps of the whole training. */
  totalSteps: number;
}

/**
 * The factor of the learning rate at each step.
 *
 * @returns A function of the step index, counted from 0; it gives numbers from 0 to 1.
 * @throws {OptionError} for an unknown name, or steps that are no whole numbers from 0 on.
 * @example
 * ```ts
 * const factor = learningRateSchedule({ schedule: "linear", warmupSteps: 2, totalSteps: 6 });
 * console.log([0, 1, 2, 3, 4, 5].map(factor)); // [0, 0.5, 1, 0.75, 0.5, 0.25]
 * ```
 */
export function learningRateSchedule(options: ScheduleOptions): (step: number) => number {
  const { schedule, warmupSteps = 0, totalSteps } = options;
  checkOneOf("schedule", schedule, SCHEDULES);
  checkInteger("warmupSteps", warmupSteps, 0);
  checkInteger("totalSteps", totalSteps, 0);
  return (step) => {
    if (step < warmupSteps) return step / warmupSteps;
    if (schedule === "constant") return 1;
    if (step >= totalSteps) return 0;
    const progress = (step - warmupSteps) / (totalSteps - warmupSteps);
    return schedule === "linear" ? 1 - progress : (1 + Math.cos(Math.PI * progress)) / 2;
  };
}
