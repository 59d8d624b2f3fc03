/**
 * The progress of a run: a bar on a terminal, lines in a file.
 *
 * @module
 */

import type { TrainingMetrics } from "../train/metrics.ts";
import { formatCount, formatDuration } from "./format.ts";
import type { Terminal } from "./terminal.ts";

/** Weight of the past in the smoothed loss: it looks back about 20 steps. */
const SMOOTHING = 0.95;
const BAR_WIDTH = 20;

/** Options of {@linkcode Progress}. */
export interface ProgressOptions {
  /** Steps done before the run began. */
  firstStep: number;
  /** Steps the run will have; null where the data decides. */
  totalSteps: number | null;
  /** Steps between plain lines. */
  logEvery: number;
}

/** Shows how a run is getting on: a bar on a terminal, lines elsewhere. */
export class Progress implements Disposable {
  readonly #terminal: Terminal;
  readonly #options: ProgressOptions;
  readonly #begun: number = performance.now();
  /** Decaying sums of losses, and of their weights: their ratio is the smoothed loss. */
  #lossSum = 0;
  #lossWeight = 0;
  #waitMs = 0;
  #last: TrainingMetrics | null = null;
  #shown: TrainingMetrics | null = null;

  constructor(terminal: Terminal, options: ProgressOptions) {
    this.#terminal = terminal;
    this.#options = options;
  }

  /** Takes the metrics of the next step. */
  update(metrics: TrainingMetrics): void {
    this.#lossSum = SMOOTHING * this.#lossSum + metrics.loss;
    this.#lossWeight = SMOOTHING * this.#lossWeight + 1;
    this.#waitMs += metrics.waitMs;
    this.#last = metrics;
    const { columns } = this.#terminal;
    const { step, evalLoss } = metrics;
    if (columns !== null) {
      if (evalLoss !== undefined) this.#line(`step ${step}: held-out loss ${evalLoss.toFixed(4)}`);
      this.#terminal.stderr(`\r${this.#bar()} ${this.#text()}`.slice(0, columns) + CLEAR_TO_END);
      this.#shown = metrics;
    } else if (step % this.#options.logEvery === 0 || evalLoss !== undefined) {
      this.#plainLine();
    }
  }

  /** Ends the bar, or writes the last line if it is not there yet. */
  [Symbol.dispose](): void {
    if (this.#last === null) return;
    if (this.#terminal.columns !== null) this.#terminal.stderr("\n");
    else if (this.#shown !== this.#last) this.#plainLine();
  }

  #plainLine(): void {
    this.#shown = this.#last;
    const { evalLoss } = this.#last!;
    const held = evalLoss === undefined ? "" : `, held-out loss ${evalLoss.toFixed(4)}`;
    this.#terminal.stderr(`step ${this.#text()}${held}\n`);
  }

  /** A line that stays, where the bar was. */
  #line(text: string): void {
    this.#terminal.stderr(`\r${text}${CLEAR_TO_END}\n`);
  }

  #bar(): string {
    const { totalSteps } = this.#options;
    if (totalSteps === null) return "step";
    const filled = Math.floor(BAR_WIDTH * this.#last!.step / totalSteps);
    return `[${"#".repeat(filled).padEnd(BAR_WIDTH, "-")}]`;
  }

  #text(): string {
    const { step, loss, learningRate, tokensPerSecond } = this.#last!;
    const { totalSteps, firstStep } = this.#options;
    const elapsed = performance.now() - this.#begun;
    const parts = [
      totalSteps === null ? `${step}` : `${step}/${totalSteps}`,
      `loss ${(this.#lossSum / this.#lossWeight).toFixed(4)} (last ${loss.toFixed(4)})`,
      `lr ${learningRate.toPrecision(2)}`,
      `${formatCount(tokensPerSecond)} tokens/s`,
      `wait ${(100 * this.#waitMs / elapsed).toFixed(0)}%`,
    ];
    if (totalSteps !== null) {
      const left = elapsed / (step - firstStep) * (totalSteps - step) / 1000;
      parts.push(`${formatDuration(left)} left`);
    }
    return parts.join(", ");
  }
}

/** Escape sequence: what an earlier, longer line left to the right of the cursor goes. */
const CLEAR_TO_END = "\x1b[K";
