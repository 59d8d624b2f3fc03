/**
 * What `train` says of the held-out losses when it ends.
 *
 * @module
 */

import type { HeldOutLoss } from "../train/metrics.ts";
import type { Trainer } from "../train/trainer.ts";
import { formatCount } from "./format.ts";

/** The held-out loss before and after. */
export function gain(before: HeldOutLoss, { loss, tokens }: HeldOutLoss): string {
  return `held-out loss: ${before.loss.toFixed(4)} before, ${loss.toFixed(4)} after ` +
    `(perplexity ${Math.exp(loss).toFixed(2)}, ${formatCount(tokens)} targets)\n`;
}

/** Which step is saved, where that is not plain, and why the run ended. */
export function choiceOf(
  { best, step, stoppedEarly, options }: Trainer,
  last: HeldOutLoss,
): string {
  const early = stoppedEarly
    ? `stopped early: ${options.earlyStoppingPatience} evaluations without a lower held-out loss\n`
    : "";
  if (best === null || best.step === last.step) return early;
  const words = `step ${best.step}, where the held-out loss was lowest (${best.loss.toFixed(4)}; ` +
    `${last.loss.toFixed(4)} after the last step, ${last.step})`;
  return early +
    (step === best.step
      ? `saved: ${words}\n`
      : `saved: the last step; better was ${words}: --load-best saves that\n`);
}
