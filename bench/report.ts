/**
 * Turns the benches' output into the Markdown tables of docs/PERFORMANCE.md.
 *
 * `deno run -A bench/report.ts --steps steps.jsonl` tabulates lines of `bench/suite.ts`, one table
 * per group; `--trace trace.jsonl` (from `bench/step.ts --trace`) the roofline of every kernel: the
 * bytes it moves and the operations it computes, the least time that the GPU's limits allow for
 * these, and the share of the limit that it reaches. `--bandwidth` is the GPU's, in GB/s.
 *
 * @module
 */

import { group, number, path } from "../src/cli/flags.ts";
import type { KernelTime } from "../src/gpu/program.ts";
import { gigabytes, teraflops } from "./support/measure.ts";
import { sumBy } from "./support/profile_table.ts";
import { readFlags, runScript } from "./support/script.ts";
import type { SuiteLine } from "./suite.ts";

/**
 * TFLOP/s that an H200 reaches with nothing but arithmetic, by a kernel's precision; measured, see
 * docs.
 */
const PEAKS: readonly (readonly [kernels: RegExp, teraflops: number])[] = [
  [/tensor/, 614],
  [/f16/, 130],
  [/./, 64],
];

/** Copy bandwidth of an H200, in GB/s. */
const BANDWIDTH = 4200;

const FLAGS = group("Report", {
  steps: path("FILE", "Lines of bench/suite.ts"),
  trace: path("FILE", "Lines of bench/step.ts --trace"),
  bandwidth: number("The GPU's, in GB/s", `${BANDWIDTH}`),
});

/** Tabulates the lines of a suite, one table per group. */
export function stepTables(lines: readonly SuiteLine[]): string {
  const latest = new Map(lines.map((line) => [`${line.group} ${line.label}`, line]));
  return [...Map.groupBy(latest.values(), ({ group }) => group)].map(([group, some]) => {
    const rows = some.map(({ label, error, stepMs, wallMs, tokensPerSecond, ...line }) => {
      if (stepMs === undefined) return [label, error ?? "", "", "", "", "", "", ""];
      const phases = line.phases as Record<string, number> | null | undefined;
      const phase = (...names: string[]) =>
        phases ? milliseconds(names.reduce((sum, name) => sum + (phases[name] ?? 0), 0)) : "";
      return [
        label,
        milliseconds(stepMs) + (wallMs === undefined ? "" : ` (${milliseconds(Number(wallMs))})`),
        tokensPerSecond!.toFixed(0),
        `${(line.peakBytes! / 1e9).toFixed(2)} GB`,
        phase("forward", "loss"),
        phase("backward"),
        phase("optimizer", "update"),
        line.gemmShare == null ? "" : percent(Number(line.gemmShare)),
      ];
    });
    const head = ["step", "ms (by the host's clock)", "tokens/s", "peak"];
    const phases = ["forward and loss", "backward", "optimizer and update", "in products"];
    return `### ${group}\n\n${markdown([...head, ...phases], rows)}`;
  }).join("\n");
}

/** Tabulates the kernels of a trace with the GPU's limits. */
export function roofline(times: readonly KernelTime[], bandwidth: number = BANDWIDTH): string {
  const rows = sumBy(times, ({ kernel, label }) => `${kernel}\t${label}`).map((sum) => {
    const { name, count, ms, flops, bytes } = sum;
    const [kernel, label] = name.split("\t");
    const [, peak] = PEAKS.find(([kernels]) => kernels.test(kernel))!;
    const arithmetic = flops / peak / 1e9;
    const memory = bytes / bandwidth / 1e6;
    return [
      `\`${kernel}\` ${label}`.trim(),
      `${count}`,
      milliseconds(ms),
      (bytes / count / 1e6).toFixed(1),
      flops > 0 ? (flops / count / 1e9).toFixed(1) : "",
      `${gigabytes(bytes, ms).toFixed(0)} GB/s` +
      (flops > 0 ? `, ${teraflops(flops, ms).toFixed(1)} TFLOP/s` : ""),
      arithmetic > memory ? `${peak} TFLOP/s` : `${bandwidth} GB/s`,
      percent(Math.max(arithmetic, memory) / ms),
    ];
  });
  const head = ["kernel", "times", "ms", "MB each", "GFLOP each", "rate", "limit", "reached"];
  return markdown(head, rows);
}

function markdown(head: readonly string[], rows: readonly string[][]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |\n`;
  return [head, head.map((_, i) => i === 0 ? "---" : "--:"), ...rows].map(line).join("");
}

function milliseconds(ms: number): string {
  return ms.toFixed(ms < 10 ? 3 : 1);
}

function percent(share: number): string {
  return `${(100 * share).toFixed(0)} %`;
}

async function readLines<T>(file: string): Promise<T[]> {
  return (await Deno.readTextFile(file)).trim().split("\n").map((line) => JSON.parse(line));
}

if (import.meta.main) {
  await runScript(async (args, terminal) => {
    const { steps, trace, bandwidth } = readFlags(args, FLAGS);
    if (steps) terminal.stdout(`${stepTables(await readLines(steps))}\n`);
    if (trace) terminal.stdout(roofline(await readLines(trace), bandwidth));
  });
}
