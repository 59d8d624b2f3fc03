/**
 * Notices a run that diverges without ever being infinite, as weights in 8 bits saturate.
 *
 * @module
 */

import { TrainingError } from "../errors.ts";
import type { TrainingMetrics } from "./metrics.ts";

/** Steps whose losses are averaged for a notice. */
const STEPS = 5;
/** The mean loss may rise so far above that of the first step, or the best: by this factor and these nats. */
const FACTOR = 1.5;
const NATS = 1;
/**
 * Losses as of a model that is lost are above the first by the same factor and by so many nats, and above
 * this share of that of a model which knows nothing.
 */
const LOST_NATS = 2;
const IGNORANT_SHARE = 0.75;
/** Steps of which most end a run whose model is lost. Losses that only overshoot come back before. */
const LOST_STEPS = 20;
/** Of fewer steps nobody knows whether they overshoot: their losses must be far worse than to know nothing. */
const FEW_STEPS = 2;

/** What is looked at of a step. */
type Step = Pick<TrainingMetrics, "step" | "loss" | "learningRate">;

/**
 * Watches the losses of a run: says once that they rise, and tells a model that is lost.
 *
 * A model is lost where most of its losses are far above that of the first step, and near or above that of a
 * model which knows nothing and gives all tokens the same probability: weights that have saturated hold
 * nothing any more that they were loaded with, so a new start is better than to go on.
 */
export class DivergenceWatch {
  /** The loss of a model that knows nothing. */
  readonly #ignorant: number;
  #first: number | null = null;
  /** The lowest mean of {@linkcode STEPS} losses. */
  #best = Infinity;
  #told = false;
  /** The last {@linkcode LOST_STEPS} steps. */
  #last: Step[] = [];

  /** @param vocabSize Tokens that the model tells apart. */
  constructor(vocabSize: number) {
    this.#ignorant = Math.log(vocabSize);
  }

  /** Looks at the next steps. */
  look(steps: readonly Step[], onNotice: (notice: string) => void): void {
    for (const { step, loss, learningRate } of steps) {
      const first = this.#first ??= loss; // that of the model before training
      this.#last = [...this.#last, { step, loss, learningRate }].slice(-LOST_STEPS);
      if (this.#last.length < STEPS) continue;
      const now = this.#last.slice(-STEPS).reduce((sum, { loss }) => sum + loss, 0) / STEPS;
      const before = Math.min(first, this.#best);
      this.#best = Math.min(this.#best, now);
      if (this.#told || now < Math.max(FACTOR * before, before + NATS)) continue;
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

  /** Whether the last step's loss was that of a lost model: it may be one. */
  get isHigh(): boolean {
    const last = this.#last.at(-1);
    return last !== undefined && last.loss > this.#bar;
  }

  /**
   * The error that ends the run, if its model is lost.
   *
   * @param ending Whether no step follows: the steps there were must do, then.
   * @param checkpoint The newest checkpoint; null for none.
   */
  error(ending: boolean, checkpoint: string | null): TrainingError | null {
    const seen = this.#last.length;
    const count = ending ? Math.min(STEPS, Math.floor(seen / 2)) : LOST_STEPS;
    if (count < 1 || seen < count || !this.isHigh) return null;
    const losses = this.#last.slice(-count).map(({ loss }) => loss).sort((a, b) => a - b);
    const bar = count < FEW_STEPS ? Math.max(this.#bar, FACTOR * this.#ignorant) : this.#bar;
    if (losses[Math.floor((count - 1) / 2)] <= bar) return null; // the median
    const { step, loss, learningRate } = this.#last.at(-1)!;
    return new TrainingError(
      `Cannot use the model after step ${step} as its loss rose from ${
        this.#first!.toFixed(2)
      } to ` +
        `${loss.toFixed(2)}, where a model that knows nothing has ${
          this.#ignorant.toFixed(2)
        }: the ` +
        `learning rate (${learningRate.toPrecision(2)}) is too high for this model; ` +
        (checkpoint === null
          ? "start again with a lower one"
          : `give a lower one, and start again or resume from "${checkpoint}"`),
    );
  }

  /** Losses above are those of a model that is lost. */
  get #bar(): number {
    const first = this.#first!;
    return Math.max(FACTOR * first, first + LOST_NATS, IGNORANT_SHARE * this.#ignorant);
  }
}
