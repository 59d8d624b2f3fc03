/**
 * The held-out losses of a run: which step was the best, and whether it still gets better.
 *
 * @module
 */

import { evaluate } from "../inference/evaluate.ts";
import type { HeldOutLoss } from "./metrics.ts";
import { evaluationShape } from "./options.ts";
import type { Setup } from "./setup.ts";

/** The held-out losses of a run, in the order of steps. */
export class Evaluations {
  readonly #setup: Setup;
  #list: HeldOutLoss[];
  /** Whether a loss is being computed. */
  isComputing = false;

  constructor(setup: Setup) {
    this.#setup = setup;
    this.#list = [...setup.checkpoint?.evaluations ?? []];
  }

  /**
   * Computes the held-out loss of the model as it is after a step.
   *
   * @param stopped Ends it quietly.
   * @param signal Ends it with its reason thrown.
   * @returns Null if it is known already, was ended, or nothing is held out.
   */
  async compute(
    step: number,
    stopped: AbortSignal,
    signal?: AbortSignal,
  ): Promise<HeldOutLoss | null> {
    const { source: { model, evalData }, options, date } = this.#setup;
    if (evalData === undefined || this.at(step)) return null;
    const either = signal ? AbortSignal.any([signal, stopped]) : stopped;
    this.isComputing = true;
    try {
      const shape = { ...evaluationShape(options), signal: either, date: date ?? undefined };
      return this.add(step, await evaluate(model, evalData, shape));
    } catch (error) {
      if (stopped.aborted && error === stopped.reason) return null;
      throw error;
    } finally {
      this.isComputing = false;
    }
  }

  /** All of them. */
  get list(): readonly HeldOutLoss[] {
    return this.#list;
  }

  /** Adds one; an earlier one of the same step, or of a later one, which was undone, goes. */
  add(step: number, { loss, tokens }: Omit<HeldOutLoss, "step">): HeldOutLoss {
    const entry = { step, loss, tokens };
    this.#list = [...this.#list.filter((other) => other.step < step), entry];
    return entry;
  }

  /** The loss after a step; undefined if it was not evaluated. */
  at(step: number): HeldOutLoss | undefined {
    return this.#list.find((entry) => entry.step === step);
  }

  /** The first of the steps with the lowest loss, the untrained model left out; null without one. */
  get best(): HeldOutLoss | null {
    let best: HeldOutLoss | null = null;
    for (const entry of this.#list) {
      // Older checkpoints may have losses that are no numbers.
      if (entry.step === 0 || !Number.isFinite(entry.loss)) continue;
      if (best === null || entry.loss < best.loss) best = entry;
    }
    return best;
  }

  /** Evaluations since the best one. */
  get sinceBest(): number {
    const { best } = this;
    return best ? this.#list.filter(({ step }) => step > best.step).length : 0;
  }
}
