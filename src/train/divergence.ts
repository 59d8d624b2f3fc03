/**
 * Notices a run that diverges without ever being infinite, as weights in 8 bits saturate.
 *
 * @module
 */

import type { TrainingMetrics } from "./metrics.ts";

/** Steps whose losses are averaged. */
const STEPS = 5;
/** The mean loss may rise so far above that of the first step: by this factor, or by this in nats. */
const FACTOR = 1.5;
const NATS = 1;

/** Watches the losses of a run, and says once that they rise. */
export class DivergenceWatch {
  #first: number | null = null;
  #recent: number[] = [];
  #told = false;

  /** Looks at the next steps. */
  look(
    steps: readonly Pick<TrainingMetrics, "step" | "loss" | "learningRate">[],
    onNotice: (notice: string) => void,
  ): void {
    for (const { step, loss, learningRate } of steps) {
      const first = this.#first ??= loss; // that of the model before training
      this.#recent = [...this.#recent, loss].slice(-STEPS);
      const now = this.#recent.reduce((sum, loss) => sum + loss, 0) / STEPS;
      if (
        this.#told || this.#recent.length < STEPS || now < Math.max(FACTOR * first, first + NATS)
      ) continue;
      this.#told = true;
      onNotice(
        `the loss rose from ${first.toFixed(2)} to ${now.toFixed(2)} until step ${step}: the ` +
          `learning rate (${
            learningRate.toPrecision(2)
          }) is too high for this model; end the run ` +
          "and give a lower one",
      );
    }
  }
}
