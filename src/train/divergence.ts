/**
 * Notices a run that diverges without ever being infinite, as weights in 8 bits saturate.
 *
 * @module
 */

import type { TrainingMetrics } from "./metrics.ts";

/** Steps whose losses are averaged. */
const STEPS = 5;
/** The mean loss may rise by this factor above that of the first steps. */
const FACTOR = 1.5;

/** Watches the losses of a run, and says once that they rise. */
export class DivergenceWatch {
  #first: { sum: number; count: number } = { sum: 0, count: 0 };
  #recent: number[] = [];
  #told = false;

  /** Looks at the next steps. */
  look(steps: readonly TrainingMetrics[], onNotice: (notice: string) => void): void {
    for (const { step, loss, learningRate } of steps) {
      if (this.#first.count < STEPS) {
        // The very first loss is that of the model before training.
        if (this.#first.count === 0 || loss < this.#first.sum / this.#first.count) {
          this.#first.sum += loss;
          this.#first.count++;
          continue;
        }
      }
      this.#recent = [...this.#recent, loss].slice(-STEPS);
      const before = this.#first.sum / this.#first.count;
      const now = this.#recent.reduce((sum, loss) => sum + loss, 0) / this.#recent.length;
      if (this.#told || this.#recent.length < STEPS || now < FACTOR * before) continue;
      this.#told = true;
      onNotice(
        `the loss rose from ${before.toFixed(2)} to ${now.toFixed(2)} until step ${step}: the ` +
          `learning rate (${
            learningRate.toPrecision(2)
          }) is too high for this model; end the run ` +
          "and give a lower one",
      );
    }
  }
}
