/**
 * The lines of `bench/accuracy.ts`, and the table that docs/ACCURACY.md shows.
 *
 * @module
 */

import { basename } from "node:path";

/** A line. Losses are means over targets, in nats. */
export interface Result {
  method: string;
  learningRate: number;
  seed: number;
  /** Before training: of the model as the method stores it. */
  before: number;
  /** After training; JSON has no infinity, and has null for a run that failed. */
  heldOutLoss: number | null;
  /** Mean over the last tenth of the steps. */
  trainLoss: number;
  /** Of the last step, where the method's update rounds. */
  updateRealized?: number;
  codesChanged?: number;
  clamps?: number;
  /** Median over groups of 50 steps, the first left out. */
  tokensPerSecond: number;
  /** Share of the training time that was spent waiting for data, and the first wait. */
  waitShare: number;
  firstWaitMs: number;
  /** Until the first step, held-out loss included; of training. */
  setUpSeconds: number;
  seconds: number;
  error?: string;
  gpu: string;
  adapter: string;
  model: string;
  data: string;
  rank: number;
  alpha: number;
  steps: number;
}

/** The lines of files. */
export function readResults(paths: readonly string[]): Result[] {
  return paths.flatMap((path) =>
    Deno.readTextFileSync(path).trim().split("\n").map((line) => JSON.parse(line))
  );
}

interface AtRate {
  rate: number;
  results: Result[];
  mean: number;
}

/** The rates of one method, the best first. */
function byRate(results: readonly Result[]): AtRate[] {
  return [...Map.groupBy(results, ({ learningRate }) => learningRate)]
    .map(([rate, own]) => ({ rate, results: own, mean: mean(own.map(loss)) }))
    .sort((a, b) => a.mean - b.mean);
}

/** The best learning rate of each method. */
export function bestRates(results: readonly Result[]): Map<string, number> {
  const methods = Map.groupBy(results, ({ method }) => method);
  return new Map([...methods].map(([name, own]) => [name, byRate(own)[0].rate]));
}

/**
 * A table for each setting, with each method at its best learning rate, as the mean over the seeds.
 *
 * @param reference The method whose improvement over the untuned f32 model is 100 %.
 */
export function reportTables(results: readonly Result[], reference: string): string {
  const settings = Map.groupBy(
    results,
    ({ model, data, rank, steps, gpu, adapter }) =>
      `${basename(model)}, ${basename(data)}, rank ${rank}, ${steps} steps, ${gpu}, ${adapter}`,
  );
  return [...settings].map(([title, own]) => `${title}\n\n${table(own, reference)}`).join("\n");
}

function table(results: readonly Result[], reference: string): string {
  const methods = Map.groupBy(results, ({ method }) => method);
  const best = new Map([...methods].map(([name, own]) => [name, byRate(own)]));
  const lossOf = (name: string) => best.get(name)?.[0].mean ?? NaN;
  const untuned = lossOf("untuned f32");
  const f32 = lossOf("only B f32");
  const header = [
    ...["method", "best rate", "untuned", "each seed", "mean", `share of ${reference}`],
    ...["over only B f32", "train", "realised", "clamps", "tokens/s", "all rates"],
  ];
  const rows = [...best].map(([name, rates]) => {
    const { rate, results: own, mean: value } = rates[0];
    const all = [...rates].sort((a, b) => a.rate - b.rate);
    return [
      name,
      rate || "–",
      fixed(mean(own.map(({ before }) => before))),
      [...own].sort((a, b) => a.seed - b.seed).map((one) => fixed(loss(one))).join(", "),
      fixed(value),
      percent((untuned - value) / (untuned - lossOf(reference))),
      fixed(value - f32),
      fixed(mean(own.map(({ trainLoss }) => trainLoss))),
      fixed(mean(own.map(({ updateRealized }) => updateRealized ?? NaN)), 3),
      fixed(mean(own.map(({ clamps }) => clamps ?? NaN)), 0),
      fixed(mean(own.map(({ tokensPerSecond }) => tokensPerSecond)), 0),
      all.map((each) => `${each.rate}: ${fixed(each.mean)}`).join(", "),
    ];
  });
  const edges = [...best].filter(([, rates]) => rates.length > 1 && isEdge(rates));
  const note = edges.map(([name]) => name).join("; ");
  return [header, header.map(() => "---"), ...rows].map((row) => `| ${row.join(" | ")} |\n`)
    .join("") + (note && `\nBest at the lowest or highest rate that was tried: ${note}\n`);
}

function isEdge(rates: readonly AtRate[]): boolean {
  const all = rates.map(({ rate }) => rate);
  return rates[0].rate === Math.min(...all) || rates[0].rate === Math.max(...all);
}

function loss({ heldOutLoss }: Result): number {
  return heldOutLoss ?? Infinity;
}

function mean(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0) / values.length;
}

function fixed(value: number, digits = 4): string {
  return Number.isFinite(value) ? value.toFixed(digits) : "–";
}

function percent(share: number): string {
  return Number.isFinite(share) ? `${fixed(100 * share, 1)} %` : "–";
}
