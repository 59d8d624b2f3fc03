/**
 * The held-out losses of a run: which step was the best, and whether it still gets better.
 *
 * @module
 */

/** The held-out loss after a step. */
export interface HeldOutLoss {
  /** Optimizer steps done; 0 is the model before training. */
  step: number;
  /** Mean over the targets, in nats. */
  loss: number;
}

/** The held-out losses of a run, in the order of steps. */
export class Evaluations {
  #list: HeldOutLoss[];

  /** @param list Those until now, of a run that goes on. */
  constructor(list: readonly HeldOutLoss[] = []) {
    this.#list = [...list];
  }

  /** All of them. */
  get list(): readonly HeldOutLoss[] {
    return this.#list;
  }

  /** Adds one; an earlier one of the same step, or of a later one, which was undone, goes. */
  add(entry: HeldOutLoss): void {
    this.#list = [...this.#list.filter(({ step }) => step < entry.step), entry];
  }

  /** The loss after a step; undefined if it was not evaluated. */
  at(step: number): HeldOutLoss | undefined {
    return this.#list.find((entry) => entry.step === step);
  }

  /** The first of the steps with the lowest loss, the untrained model left out; null without one. */
  get best(): HeldOutLoss | null {
    let best: HeldOutLoss | null = null;
    for (const entry of this.#list) {
      if (entry.step > 0 && !(best && entry.loss >= best.loss)) best = entry;
    }
    return best;
  }

  /** Evaluations since the best one. */
  get sinceBest(): number {
    const { best } = this;
    return best ? this.#list.filter(({ step }) => step > best.step).length : 0;
  }
}
