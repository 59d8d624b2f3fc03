/**
 * How close row kernels come to copy bandwidth, and whether they are right: quantisation, rotation,
 * and norm and SwiGLU with both fused.
 *
 * `deno run -A bench/quantize_bench.ts` takes the sizes of a LLaMA-7B step: `--rows 8192 --cols
 * 4096 --ffn 11008`. `--subgroups` reduces rows with subgroup operations: `max` only maxima, `all`
 * sums too, `none` neither. `--provider native|dawn` chooses the WebGPU, `--only quantize` the
 * cases with that in their name, `--sweep` times every way to share a row among threads,
 * `--repeats` sets the number of timed runs.
 *
 * GB/s count the bytes that must move; the share is that of copy bandwidth in the same run. Each
 * case is checked against the CPU on some rows, see `RowErrors` in support/row_checks.ts.
 *
 * @module
 */

import { choice, group, text, toggle, whole } from "../src/cli/flags.ts";
import { openDevice } from "../src/cli/open_device.ts";
import { GPU_FLAGS } from "../src/cli/shared_flags.ts";
import type { Terminal } from "../src/cli/terminal.ts";
import type { Device } from "../src/gpu/device.ts";
import { Program } from "../src/gpu/program.ts";
import type { RowVariant } from "../src/kernels/shapes.ts";
import { copyBandwidth } from "./support/copy.ts";
import { gigabytes, measure, totalMs } from "./support/measure.ts";
import { RowCases, type RowShape } from "./support/row_cases.ts";
import type { RowErrors } from "./support/row_checks.ts";
import { readFlags, runScript } from "./support/script.ts";

/** Options of {@linkcode quantizeBench}. */
export interface QuantizeBenchOptions extends RowShape {
  /** Timed runs of each case. Default 9. */
  repeats?: number;
  /** Part of the names of the cases to measure. Default all. */
  only?: string;
  /** Time every way to share a row, not only the one that is chosen. Default false. */
  sweep?: boolean;
}

/** One line of the result. */
export interface QuantizeBenchResult extends RowErrors {
  name: string;
  /** Median. */
  ms: number;
  /** Bytes that must move, by time. */
  gigabytesPerSecond: number;
  /** That over copy bandwidth. */
  ofCopy: number;
}

const LLAMA_7B: RowShape = { rows: 8192, cols: 4096, ffn: 11008 };

/** Sizes for an emulated GPU. */
const SMALL: RowShape = { rows: 256, cols: 1024, ffn: 2752 };

const FLAGS = {
  ...GPU_FLAGS,
  ...group("Rows", {
    rows: whole("Tokens"),
    cols: whole("Width of the residual stream"),
    ffn: whole("Width of the feed-forward network"),
    only: text("TEXT", "Cases with this in their name", "all"),
    sweep: toggle("Time every way to share a row among threads"),
    subgroups: choice(
      ["none", "max", "all"],
      "What is reduced by way of subgroups",
      "what the GPU suits",
    ),
    repeats: whole("Timed runs", "9"),
  }),
};

/**
 * Largest share of wrong codes and relative error that pass. Codes are exact, unless a compiler
 * fuses differently.
 */
const MOST_WRONG_CODES = 1e-4;
const LARGEST_ERROR = 1e-5;

/** A way to share a row, and for rotated rows how threads exchange values. */
interface Way extends RowVariant {
  shuffle?: boolean;
}

const SWEEP: readonly Way[] = [64, 128, 256, 512, 1024].flatMap((threads) => [
  { threads },
  { threads, registers: false },
]);

/** Ways to share a rotated row of so many vec4s: 4, 8, 12 and 16 for each thread. */
function rotatedWays(device: Device, vectors: number): Way[] {
  const threads = [4, 8, 12, 16].map((each) => Math.ceil(vectors / each / 32) * 32);
  return [true, false].filter((shuffle) => !shuffle || device.tuning.subgroups.shuffle).flatMap((
    shuffle,
  ) => threads.map((threads) => ({ threads, shuffle })));
}

/**
 * Times the row kernels.
 *
 * @throws {Error} for a kernel whose results are wrong.
 */
async function* quantizeBench(
  device: Device,
  { repeats = 9, only = "", sweep = false, ...shape }: QuantizeBenchOptions,
): AsyncGenerator<QuantizeBenchResult> {
  const copied = 4 * shape.rows * shape.cols;
  const copy = await copyBandwidth(device, copied);
  yield { name: "copy", ms: 2 * copied / copy / 1e6, gigabytesPerSecond: copy, ofCopy: 1 };
  using cases = new RowCases(device, shape);
  await cases.fill();
  const { tuning } = device;
  for (const { name, bytes, elementwise, tolerance, record, check } of cases.list()) {
    if (!name.includes(only)) continue;
    const vectors = (name.startsWith("swiglu") ? shape.ffn : shape.cols) / 4;
    const ways = name.includes("rotated") ? rotatedWays(device, vectors) : SWEEP;
    for (const variant of sweep && !elementwise ? [undefined, ...ways] : [undefined]) {
      if ((variant?.threads ?? 0) > device.limits.maxComputeInvocationsPerWorkgroup) continue;
      const { shuffle = tuning.subgroups.shuffle } = variant ?? {};
      device.tuning = { ...tuning, subgroups: { ...tuning.subgroups, shuffle } };
      using program = new Program(device);
      record(program, variant);
      await program.prepare();
      // The copy before has raised the clock.
      const ms = totalMs(await measure(program, { repeats, warmupMs: 50 }));
      const gigabytesPerSecond = gigabytes(bytes, ms);
      const errors = await check();
      const { wrongCodes = 0, error = 0 } = errors;
      if (!(wrongCodes <= MOST_WRONG_CODES && error <= (tolerance ?? LARGEST_ERROR))) {
        throw new Error(`${name} is wrong: ${JSON.stringify(errors)}`);
      }
      device.tuning = tuning;
      const way = variant
        ? ` [${variant.threads}${variant.registers === false ? " loop" : ""}${
          variant.shuffle === undefined ? "" : shuffle ? " shuffles" : " memory"
        }]`
        : "";
      const ofCopy = gigabytesPerSecond / copy;
      yield { name: name + way, ms, gigabytesPerSecond, ofCopy, ...errors };
    }
  }
}

/** Prints the lines of {@linkcode quantizeBench} for a command line's words. */
async function run(args: readonly string[], terminal: Terminal): Promise<void> {
  const { provider, rows, cols, ffn, subgroups, ...options } = readFlags(args, FLAGS);
  using device = await openDevice({ provider }, terminal);
  if (subgroups) {
    const way = { max: subgroups !== "none", sum: subgroups === "all" };
    device.tuning = { ...device.tuning, subgroups: { ...device.tuning.subgroups, ...way } };
  }
  const defaults = device.isFallback ? SMALL : LLAMA_7B;
  const shape = {
    rows: rows ?? defaults.rows,
    cols: cols ?? defaults.cols,
    ffn: ffn ?? defaults.ffn,
  };
  terminal.stdout(`${device.name} (${device.provider}): ${JSON.stringify(shape)}\n`);
  terminal.stdout(`by subgroups: ${JSON.stringify(device.tuning.subgroups)}\n`);
  for await (const result of quantizeBench(device, { ...shape, ...options })) {
    const { name, ms, gigabytesPerSecond, ofCopy, wrongCodes, error } = result;
    terminal.stdout(
      name.padEnd(78) + `${ms.toFixed(4)} ms`.padStart(12) +
        `${gigabytesPerSecond.toFixed(0)} GB/s`.padStart(12) +
        `${(100 * ofCopy).toFixed(1)} %`.padStart(9) +
        (error === undefined ? "" : `  error ${error.toExponential(1)}`) +
        (wrongCodes === undefined ? "" : `  wrong codes ${wrongCodes.toExponential(1)}`) + "\n",
    );
  }
}

if (import.meta.main) await runScript(run);
