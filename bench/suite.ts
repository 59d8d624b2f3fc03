/**
 * Runs `bench/step.ts` for many configurations, each in a process of its own, and collects their
 * lines of JSON.
 *
 * ```sh
 * deno run -A bench/suite.ts --groups methods,layers --gpus native,dawn --out steps.jsonl \
 *   --budget 500
 * ```
 *
 * Groups, in the order they are given: `methods`, `layers` (1 to 32), `lengths` (128 to 4096 at
 * constant tokens), `full` (32 layers with checkpointing), `torch` (`bench/torch_step.py`). Flags
 * after `--` go to every `step.ts`, such as `-- --width tiny --steps 5`. A run that fails leaves a
 * line with `error`; the others continue. Prints a table at the end, and how far step times are
 * from linear in the layers.
 *
 * @module
 */

import { UsageError } from "../src/cli/errors.ts";
import { group, list, number, path, text, whole } from "../src/cli/flags.ts";
import { formatBytes } from "../src/cli/format.ts";
import type { Terminal } from "../src/cli/terminal.ts";
import { readFlags, runScript } from "./support/script.ts";
import { GROUPS, type SuiteRun } from "./support/suite_runs.ts";

const FLAGS = group("Suite", {
  groups: list("NAMES", `Which of ${Object.keys(GROUPS).join(", ")}`, "methods"),
  gpus: list("NAMES", "Which WebGPU implementations", "native"),
  tokens: whole("Tokens per step", "8192"),
  sequenceLength: whole("Tokens per row, where they do not vary", "512"),
  layers: whole("Blocks, where they do not vary", "8"),
  python: text("PROGRAM", "A Python with PyTorch, transformers, PEFT and bitsandbytes", "python3"),
  out: path("FILE", "Append the lines to it", "standard output only"),
  budget: number("Seconds after which no run continues", "none"),
});

/** A line of the suite: what the process printed, or its error. */
export interface SuiteLine extends Record<string, unknown> {
  group: string;
  label: string;
  layers?: number;
  stepMs?: number;
  tokensPerSecond?: number;
  peakBytes?: number;
  gpu?: string;
  error?: string;
}

/** Runs the suite with a command line's words. */
export async function run(args: readonly string[], terminal: Terminal): Promise<SuiteLine[]> {
  const end = args.indexOf("--");
  const own = end < 0 ? args : args.slice(0, end);
  const values = readFlags(own, FLAGS);
  const names = values.groups ?? ["methods"];
  const unknown = names.find((name) => !(name in GROUPS));
  if (unknown !== undefined) {
    throw new UsageError(
      `There is no group "${unknown}": choose from ${Object.keys(GROUPS).join(", ")}`,
    );
  }
  const options = {
    gpus: values.gpus ?? ["native"],
    tokens: values.tokens ?? 8192,
    sequenceLength: values.sequenceLength ?? 512,
    layers: values.layers ?? 8,
    python: values.python ?? "python3",
    flags: end < 0 ? [] : args.slice(end + 1),
  };
  const deadline = performance.now() + 1000 * (values.budget ?? Infinity);
  const lines: SuiteLine[] = [];
  for (const each of names.flatMap((name) => GROUPS[name](options))) {
    const seconds = (deadline - performance.now()) / 1000;
    terminal.stderr(`\n# ${each.label}\n`);
    const line = seconds > 0 ? await runOne(each, seconds, terminal) : skipped(each);
    const text = `${JSON.stringify(line)}\n`;
    terminal.stdout(text);
    if (values.out) await Deno.writeTextFile(values.out, text, { append: true });
    lines.push(line);
  }
  terminal.stderr(`\n${summary(lines)}`);
  return lines;
}

/** Runs one process; it is killed when `seconds` are over. */
async function runOne(
  { group, label, command: [program, ...args] }: SuiteRun,
  seconds: number,
  terminal: Terminal,
): Promise<SuiteLine> {
  const timeout = Number.isFinite(seconds) ? AbortSignal.timeout(1000 * seconds) : undefined;
  const { success, stdout, stderr } = await new Deno.Command(
    program === "deno" ? Deno.execPath() : program,
    { args, stdin: "null", signal: timeout },
  ).output();
  const errors = new TextDecoder().decode(stderr);
  terminal.stderr(errors);
  if (timeout?.aborted) return { group, label, error: "out of time" };
  const last = new TextDecoder().decode(stdout).trim().split("\n").at(-1)!;
  if (!success) return { group, label, error: reason(errors) };
  return { ...JSON.parse(last), group, label };
}

/**
 * The line of a process's output that names the error: a script's message, or the end of a Python
 * traceback.
 */
function reason(stderr: string): string {
  const lines = stderr.trim().split("\n");
  return lines.findLast((line) => /^(unexpected )?error: |^\w*Error\b/.test(line)) ?? lines.at(-1)!;
}

function skipped({ group, label }: SuiteRun): SuiteLine {
  return { group, label, error: "out of time" };
}

function summary(lines: readonly SuiteLine[]): string {
  const wide = Math.max(...lines.map(({ label }) => label.length));
  const rows = lines.map(({ label, error, stepMs, tokensPerSecond, peakBytes }) =>
    `${label.padEnd(wide)}  ` + (error ?? [
      `${stepMs!.toFixed(1)} ms`.padStart(12),
      `${tokensPerSecond!.toFixed(0)} tokens/s`.padStart(16),
      formatBytes(peakBytes!).padStart(10),
    ].join("  ")) + "\n"
  );
  const byGpu = Map.groupBy(
    lines.filter(({ group, stepMs }) => group === "layers" && stepMs),
    ({ gpu }) => gpu,
  );
  for (const [gpu, some] of byGpu) {
    const worst = deviationFromLine(some.map((line) => [line.layers!, line.stepMs!]));
    rows.push(`${gpu}: at most ${(100 * worst).toFixed(1)} % from linear in the layers\n`);
  }
  return rows.join("");
}

/**
 * How far points are from a straight line: the largest |y − line(x)| / y, for the line of least
 * squares of relative errors.
 */
export function deviationFromLine(points: readonly (readonly [x: number, y: number])[]): number {
  // Weights 1/y² make every point count by its relative error.
  let [w, wx, wy, wxx, wxy] = [0, 0, 0, 0, 0];
  for (const [x, y] of points) {
    const weight = 1 / y ** 2;
    w += weight;
    wx += weight * x;
    wy += weight * y;
    wxx += weight * x * x;
    wxy += weight * x * y;
  }
  const slope = (w * wxy - wx * wy) / (w * wxx - wx * wx);
  const start = (wy - slope * wx) / w;
  return Math.max(...points.map(([x, y]) => Math.abs(y - start - slope * x) / y));
}

if (import.meta.main) {
  await runScript(async (args, terminal) => {
    const lines = await run(args, terminal);
    if (lines.some(({ error }) => error !== undefined)) Deno.exitCode = 1;
  });
}
