/**
 * The metrics of steps: what the GPU measured, joined with what only the host knows of a step.
 *
 * @module
 */

import type { Batch } from "../data/types.ts";
import { type FalqonError, ModelError, TrainingError } from "../errors.ts";
import type { StepMetrics } from "../gpu/step_state.ts";
import type { UpdateMetrics } from "../layers/method.ts";

/** What one step did, as `Trainer.run` gives it and the log records it. */
export interface TrainingMetrics extends Partial<UpdateMetrics> {
  /** Optimizer steps done, this one included. */
  step: number;
  /** Mean over the step's targets, in nats. */
  loss: number;
  /** The learning rate that the schedule gave this step. */
  learningRate: number;
  /** Global norm of the gradient before clipping. */
  gradNorm: number;
  /** Tokens trained on since the beginning, padding not counted. */
  tokens: number;
  /** Times the data was read completely. */
  epoch: number;
  /** Since the last read-back of metrics. */
  tokensPerSecond: number;
  /** Milliseconds that this step waited for its data. */
  waitMs: number;
  /** Held-out loss, at steps with an evaluation. */
  evalLoss?: number;
  /** What was wrong with the rows read so far; where metrics are read. */
  warnings?: string[];
}

/** The held-out loss after a step. */
export interface HeldOutLoss {
  /** Optimizer steps done; 0 is the model before training. */
  step: number;
  /** Mean over the targets, in nats. */
  loss: number;
  /** Number of targets that the loss is the mean of. */
  tokens: number;
}

/** What the host knows of a step before its metrics come back. */
type PendingStep = Pick<TrainingMetrics, "tokens" | "epoch" | "waitMs">;

/** Keeps what the host knows of submitted steps until their metrics are read. */
export class PendingSteps {
  #steps: PendingStep[] = [];
  /** Tokens trained on since the beginning of the run. */
  #tokens: number;
  /** When metrics were read last, and the tokens by then. */
  #readAt = 0;
  #readTokens = 0;

  /** @param tokens Trained on before. */
  constructor(tokens: number) {
    this.#tokens = tokens;
  }

  /** Tokens trained on since the beginning of the run. */
  get tokens(): number {
    return this.#tokens;
  }

  /** Whether there is no step whose metrics were not read. */
  get isEmpty(): boolean {
    return this.#steps.length === 0;
  }

  /** The tokens per second of the steps from now on are counted from now. */
  startClock(): void {
    this.#readAt = performance.now();
    this.#readTokens = this.#tokens;
  }

  /** Takes note of a step on these micro-batches. */
  add(batches: readonly Batch[]): void {
    this.#tokens += sum(batches, ({ tokenCount }) => tokenCount);
    this.#steps.push({
      tokens: this.#tokens,
      epoch: batches.at(-1)!.position.epoch,
      waitMs: sum(batches, ({ waitMs }) => waitMs),
    });
  }

  /** The metrics of all steps since the last call, which the GPU has measured now. */
  join(measured: readonly StepMetrics[]): TrainingMetrics[] {
    const seconds = (performance.now() - this.#readAt) / 1000;
    const tokensPerSecond = (this.#tokens - this.#readTokens) / seconds;
    const steps = this.#steps;
    this.#steps = [];
    return measured.map(({ step, lossSum, targetCount, learningRate, gradNorm }, i) => ({
      step,
      loss: lossSum / targetCount,
      learningRate,
      gradNorm,
      ...steps[i],
      tokensPerSecond,
    }));
  }
}

/**
 * The first step whose loss, gradient or update is not finite. But for an update, parameters are as they
 * were before it.
 */
export function findBadStep(measured: readonly StepMetrics[]): StepMetrics | undefined {
  return measured.find(({ finite, lossSum }) => !finite || !Number.isFinite(lossSum));
}

/** What the error that ends a run at such a step depends on. */
export interface BadStepContext {
  /** Whether no step of this process was before it, so that nothing was trained. */
  isFirst: boolean;
  /** The newest checkpoint; null for none. */
  checkpoint: string | null;
}

/** The error that ends a run at such a step. */
export function notFinite(
  { step, lossSum, gradNorm, learningRate }: StepMetrics,
  { isFirst, checkpoint }: BadStepContext,
): FalqonError {
  if (isFirst && !Number.isFinite(lossSum)) {
    return new ModelError(
      `Cannot train as the loss of step ${step}, before anything is trained, is ${lossSum}: the ` +
        "model's weights are damaged, or its values leave the range of their type; evaluate it " +
        "first, with its weights in f32",
    );
  }
  const [found, remedy] = !Number.isFinite(lossSum) || !Number.isFinite(gradNorm)
    ? [`its loss sum is ${lossSum} and its gradient norm ${gradNorm}`, " or maxGradNorm"]
    : ["what it changes the weights by leaves the range of their numbers", ""];
  const back = checkpoint === null ? "start again" : `resume from "${checkpoint}"`;
  return new TrainingError(
    `Cannot continue after step ${step} as ${found}: reduce the learning rate (${
      Number(learningRate.toPrecision(4))
    })` +
      `${remedy}, and ${back}`,
  );
}

/** The sum of a number over batches. */
export function sum(batches: readonly Batch[], of: (batch: Batch) => number): number {
  return batches.reduce((total, batch) => total + of(batch), 0);
}
