/**
 * The steps of a run, one after the other, and where it stands in the data.
 *
 * @module
 */

import { noticeOnConsole } from "../printable.ts";
import type { Batch, LoaderPosition } from "../data/types.ts";
import type { FalqonError } from "../errors.ts";
import type { Claim } from "./claim.ts";
import { DivergenceWatch } from "./divergence.ts";
import { findBadStep, notFinite, PendingSteps, sum, type TrainingMetrics } from "./metrics.ts";
import type { RunFiles, Standing } from "./run_files.ts";
import { learningRateSchedule } from "./schedule.ts";
import type { Setup } from "./setup.ts";
import { readGroup } from "./training_data.ts";

/**
 * Batches that are submitted before those at work are waited for. A driver keeps memory for each that
 * is submitted, for the most that ever were, and who ends a run waits for all of them.
 */
export const MOST_AHEAD = 32;

/** Makes the steps of a run. */
export class Stepper {
  readonly #setup: Setup;
  readonly #files: RunFiles;
  readonly #claim: Claim;
  readonly #learningRate: (step: number) => number;
  #divergence: DivergenceWatch;
  #pending: PendingSteps;
  /** The step after which this process began. */
  #begun: number;
  /** Batches submitted since the GPU was waited for. */
  #ahead = 0;
  /** Optimizer steps done. */
  step: number;
  /** Where the data goes on; null at the start. */
  position: LoaderPosition | null;

  constructor(setup: Setup, files: RunFiles, claim: Claim) {
    this.#setup = setup;
    this.#files = files;
    this.#claim = claim;
    const { step = 0, tokens = 0, position = null } = setup.checkpoint ?? {};
    this.step = this.#begun = step;
    this.position = position;
    this.#pending = new PendingSteps(tokens);
    this.#divergence = this.#watch();
    const { schedule, warmupRatio, learningRate } = setup.options;
    // Only the constant schedule goes without the number of steps, and it does not look at it.
    const totalSteps = setup.totalSteps ?? 0;
    const warmupSteps = setup.options.warmupSteps || Math.ceil(warmupRatio * totalSteps);
    const factor = learningRateSchedule({ schedule, warmupSteps, totalSteps });
    this.#learningRate = (step) => learningRate * factor(step);
  }

  /** What a checkpoint has of it. */
  get standing(): Standing {
    return { step: this.step, tokens: this.#pending.tokens, position: this.position };
  }

  /** Goes back to where the run stood once. */
  goTo({ step, tokens, position }: Standing): void {
    this.step = this.#begun = step;
    this.#divergence = this.#watch();
    this.position = position;
    this.#pending = new PendingSteps(tokens);
    this.#setup.step.restart();
  }

  /** Time in which no step is at work does not count from now back. */
  startClock(): void {
    this.#pending.startClock();
  }

  /**
   * Runs the next step.
   *
   * @param stopped Ends the run quietly.
   * @param signal Ends it with its reason thrown.
   * @returns False at the end of the data, or if it was stopped.
   */
  async next(
    batches: AsyncGenerator<Batch>,
    stopped: AbortSignal,
    signal?: AbortSignal,
  ): Promise<boolean> {
    signal?.throwIfAborted();
    const group = await readGroup(batches, this.#setup.options.gradAccumSteps);
    // What was read is not lost: the position moves with the step.
    signal?.throwIfAborted();
    if (group.length === 0 || stopped.aborted) return false;
    this.#claim.expect();
    await this.#files.open(this.step);
    const { step } = this.#setup;
    await step.begin({
      step: this.step + 1,
      learningRate: this.#learningRate(this.step),
      targetCount: sum(group, ({ targetCount }) => targetCount),
    });
    this.#claim.expect();
    for (const batch of group) {
      await this.#expectNear();
      step.accumulate(batch);
      this.#ahead++;
    }
    await step.apply();
    this.step++;
    this.position = group.at(-1)!.position;
    this.#pending.add(group);
    return true;
  }

  /**
   * Reads the metrics of the steps since the last call.
   *
   * @param ending Whether no step follows.
   * @returns Those of the steps before the first whose loss or gradient is not finite, and the error
   * that ends the run there, or as the model is lost.
   */
  async read(ending: boolean): Promise<{ good: TrainingMetrics[]; error: FalqonError | null }> {
    const measured = this.#pending.isEmpty ? [] : await this.#setup.step.takeMetrics();
    this.#ahead = 0;
    const entries = this.#pending.join(measured);
    const bad = findBadStep(measured);
    const good = bad ? entries.filter(({ step }) => step < bad.step) : entries;
    this.#divergence.look(good, this.#setup.source.onNotice ?? noticeOnConsole);
    const checkpoint = this.#files.kept?.folder ?? null;
    const error = bad
      ? notFinite(bad, { isFirst: bad.step === this.#begun + 1, checkpoint })
      : this.#divergence.error(ending, checkpoint);
    return { good, error };
  }

  /** Whether the last step that was read had a loss as of a model that training has destroyed. */
  get isHigh(): boolean {
    return this.#divergence.isHigh;
  }

  /** Waits for the GPU if too many batches are ahead of it. */
  async #expectNear(): Promise<void> {
    if (this.#ahead < MOST_AHEAD) return;
    await this.#setup.source.model.device.finish();
    this.#ahead = 0;
    this.#claim.expect();
  }

  #watch(): DivergenceWatch {
    return new DivergenceWatch(this.#setup.network.config.vocabSize);
  }
}
