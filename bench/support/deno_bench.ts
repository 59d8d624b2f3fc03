/**
 * GPU work under `deno bench`, which uses the host's clock.
 *
 * Waiting for the GPU costs up to 11 ms on Deno's native WebGPU, so an iteration submits the work
 * many times and waits once; all of a group do so equally often, which leaves the ratios that `deno
 * bench` prints right. Exact times come from `bench/step.ts --profile` and the scripts beside it,
 * by GPU timestamps.
 *
 * @module
 */

import type { Device } from "../../src/gpu/device.ts";

/** Something that can be run again and again on the GPU, and frees what it made. */
export interface Runnable extends Disposable {
  /** Submits it once. */
  run(): void | Promise<void>;
}

/** Iterations that are timed, after one that opens and compiles. */
const ITERATIONS = 10;

/** The open work: one at a time, so that memory is that of the largest. */
let current: { name: string; work: Runnable } | null = null;

/** Benches of one kind that are compared. */
export interface BenchGroup {
  name: string;
  /** Runs of the work per iteration, so that it takes some hundred milliseconds. */
  runs: number;
  /** How to open each of the things that are compared, by name; the first is the baseline. */
  variants: Readonly<Record<string, () => Promise<Runnable>>>;
}

/** Registers a group with `deno bench`. */
export function benchGroup(device: Device, { name: group, runs, variants }: BenchGroup): void {
  for (const [i, [variant, open]] of Object.entries(variants).entries()) {
    const name = `${group}: ${variant}${runs > 1 ? ` (${runs} times)` : ""}`;
    Deno.bench({
      name,
      group,
      baseline: i === 0,
      n: ITERATIONS,
      warmup: 1,
      async fn() {
        if (current?.name !== name) {
          current?.work[Symbol.dispose]();
          current = null;
          current = { name, work: await open() };
        }
        for (let run = 0; run < runs; run++) await current.work.run();
        await device.finish();
      },
    });
  }
}
