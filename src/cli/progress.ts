/**
 * The progress of a run: a bar on a terminal, lines in a file.
 *
 * @module
 */

import type { TrainingMetrics } from "../train/metrics.ts";
import { formatCount, formatDuration } from "./format.ts";
import { StatusLine } from "./status_line.ts";
import type { Terminal } from "./terminal.ts";

/** Weight of the past in the smoothed loss: it looks back about 20 steps. */
const SMOOTHING = 0.95;
/** Share of the time from which waiting for data is worth a word. */
const MUCH_WAITING = 0.05;

/** Milliseconds within which steps are told of together. */
const SAME_GROUP = 50;
/** Milliseconds from which a pace can be told. */
const LEAST_SPAN = 250;

/** Options of {@linkcode Progress}. */
export interface ProgressOptions {
  /** Steps done before the run began. */
  firstStep: number;
  /** Steps the run will have; null where the data decides. */
  totalSteps: number | null;
  /** Steps between plain lines. */
  logEvery: number;
  /** What is known of the number of steps where the data decides; null as long as nothing is. */
  estimate?: (last: TrainingMetrics) => number | null;
  /** What else is going on than steps, such as "evaluating"; null for nothing. */
  activity?: () => string | null;
  /** The line that the bar takes the place of; default one of its own. */
  line?: StatusLine;
}

/** Shows how a run is getting on: a bar on a terminal, lines elsewhere. */
export class Progress implements Disposable {
  readonly #terminal: Terminal;
  readonly #options: ProgressOptions;
  readonly #line: StatusLine;
  readonly #begun: number = performance.now();
  /** Step and time from which the pace is measured: not from the first one, which compiles. */
  #paceFrom: { step: number; time: number } | null = null;
  /** When the last step was told of. */
  #lastTime = 0;
  /** Decaying sums of losses, and of their weights: their ratio is the smoothed loss. */
  #lossSum = 0;
  #lossWeight = 0;
  #waitMs = 0;
  #last: TrainingMetrics | null = null;
  #shown: TrainingMetrics | null = null;

  constructor(terminal: Terminal, options: ProgressOptions) {
    this.#line = options.line ?? new StatusLine(terminal);
    this.#terminal = this.#line.terminal;
    this.#options = options;
    this.#line.phase("compiling kernels, first steps");
  }

  /** Takes the metrics of the next step. */
  update(metrics: TrainingMetrics): void {
    const now = performance.now();
    this.#lossSum = SMOOTHING * this.#lossSum + metrics.loss;
    this.#lossWeight = SMOOTHING * this.#lossWeight + 1;
    this.#waitMs += metrics.waitMs;
    // Steps come in groups; the pace counts from the end of the first one, which compiled kernels.
    const from = this.#paceFrom;
    if (from === null || (from.step === metrics.step - 1 && now - from.time < SAME_GROUP)) {
      this.#paceFrom = { step: metrics.step, time: from?.time ?? now };
    }
    this.#last = metrics;
    this.#lastTime = now;
    const { step, evalLoss } = metrics;
    if (this.#terminal.columns !== null) {
      if (evalLoss !== undefined) {
        this.#terminal.stderr(`step ${step}: held-out loss ${evalLoss.toFixed(4)}\n`);
      }
      this.#line.show((columns) => this.#bar(columns));
      this.#shown = metrics;
    } else if (step % this.#options.logEvery === 0 || evalLoss !== undefined) {
      this.#plainLine();
    }
  }

  /** Ends the bar, or writes the last line if it is not there yet. */
  [Symbol.dispose](): void {
    if (this.#last === null) this.#line.show(null);
    else if (this.#terminal.columns !== null) this.#line.keep();
    else if (this.#shown !== this.#last) this.#plainLine();
    if (this.#options.line === undefined) this.#line[Symbol.dispose]();
  }

  #plainLine(): void {
    this.#shown = this.#last;
    const { evalLoss, loss } = this.#last!;
    const held = evalLoss === undefined ? "" : `, held-out loss ${evalLoss.toFixed(4)}`;
    const left = this.#left();
    const parts = [
      this.#steps(),
      `loss ${this.#loss()} (last ${loss.toFixed(4)})`,
      ...this.#speed(),
      `wait ${(100 * this.#waiting()).toFixed(0)}%`,
      ...left === null ? [] : [`${left} left`],
    ];
    this.#terminal.stderr(`step ${parts.join(", ")}${held}\n`);
  }

  /** What fits into so many columns, what matters first. */
  #bar(columns: number): string {
    const total = this.#total();
    const width = columns >= 99 ? 20 : columns >= 50 ? 10 : 0;
    const left = this.#options.activity?.() ?? null;
    const time = this.#left();
    const { loss } = this.#last!;
    const waiting = this.#waiting();
    const parts = [
      this.#steps(),
      ...left !== null ? [left] : time === null ? [] : [`${time} left`],
      `loss ${this.#loss()}`,
      ...waiting < MUCH_WAITING ? [] : [`wait ${(100 * waiting).toFixed(0)}%`],
      ...this.#speed().reverse(),
      `last loss ${loss.toFixed(4)}`,
    ];
    let text = "step";
    if (total !== null && width > 0) {
      const filled = Math.min(width, Math.floor(width * this.#last!.step / total));
      text = `[${"#".repeat(filled).padEnd(width, "-")}]`;
    }
    text += ` ${parts.shift()}`;
    for (const part of parts) {
      if (text.length + part.length + 2 > columns) break;
      text += `, ${part}`;
    }
    return text;
  }

  #steps(): string {
    const { step } = this.#last!;
    const { totalSteps } = this.#options;
    const total = this.#total();
    if (total === null) return `${step}`;
    return `${step}/${totalSteps === null ? "~" : ""}${total}`;
  }

  #total(): number | null {
    const { totalSteps, estimate } = this.#options;
    if (totalSteps !== null) return totalSteps;
    const estimated = estimate?.(this.#last!) ?? null;
    return estimated === null ? null : Math.max(this.#last!.step, Math.round(estimated));
  }

  #loss(): string {
    return (this.#lossSum / this.#lossWeight).toFixed(4);
  }

  #speed(): string[] {
    const { learningRate, tokensPerSecond } = this.#last!;
    return [`lr ${learningRate.toPrecision(2)}`, `${formatCount(tokensPerSecond)} tokens/s`];
  }

  /** The share of the time that was waited for data. */
  #waiting(): number {
    return this.#waitMs / Math.max(1, this.#lastTime - this.#begun);
  }

  /** The time left, which counts down; null where the end is not known. */
  #left(): string | null {
    const total = this.#total();
    if (total === null) return null;
    const { step } = this.#last!;
    const from = this.#paceFrom!;
    const [steps, ms] = step > from.step && this.#lastTime - from.time >= LEAST_SPAN
      ? [step - from.step, this.#lastTime - from.time]
      : [step - this.#options.firstStep, this.#lastTime - this.#begun];
    const since = this.#terminal.columns === null ? 0 : performance.now() - this.#lastTime;
    const left = Math.max(0, ms / steps * (total - step) - since);
    const about = this.#options.totalSteps === null ? "~" : "";
    return about + formatDuration(left / 1000);
  }
}
