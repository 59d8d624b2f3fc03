/**
 * How long the driver compiles the kernels of a run's first step, one by one: what a machine waits
 * for that has never run it.
 *
 * `__GL_SHADER_DISK_CACHE=0 deno run -A bench/compile_bench.ts --width 7b --method falqon` lists the
 * kernels by time; without that variable NVIDIA's driver keeps what it compiled, and a second run
 * shows next to nothing. Which kernels a run takes is recorded on a device that is not there, with
 * gradient initialisation, except for what depends on its results. `--unroll 16|8|4|2` sets how
 * much of native attention is written out.
 *
 * `--provider dawn` compiles side by side in a run, so there the sum says more than is waited for.
 *
 * @module
 */

import { choice, group, whole } from "../src/cli/flags.ts";
import { trainingMethod } from "../src/cli/method.ts";
import { METHOD_FLAGS } from "../src/cli/method_flags.ts";
import { openDevice } from "../src/cli/open_device.ts";
import { GPU_FLAGS, type MethodValues } from "../src/cli/shared_flags.ts";
import type { Terminal } from "../src/cli/terminal.ts";
import { openDryDevice } from "../src/gpu/dry_device.ts";
import { Kernel } from "../src/gpu/kernel.ts";
import type { Tuning } from "../src/gpu/tuning.ts";
import { architecture, ARCHITECTURE_FLAGS } from "./support/architecture.ts";
import { readFlags, runScript } from "./support/script.ts";
import { Training } from "./support/training.ts";

const UNROLLS = ["16", "8", "4", "2"] as const;

const FLAGS = {
  ...GPU_FLAGS,
  ...ARCHITECTURE_FLAGS,
  ...METHOD_FLAGS,
  ...group("Step", {
    batch: whole("Rows per batch", "16"),
    sequenceLength: whole("Tokens per row", "512"),
    unroll: choice(UNROLLS, "Slices that attention writes out", "as a run has them"),
  }),
};

/** Compiles and prints with a command line's words. */
async function run(args: readonly string[], terminal: Terminal): Promise<void> {
  const values = readFlags(args, FLAGS, terminal);
  const { batch = 16, sequenceLength = 512, unroll } = values;
  using device = await openDevice(values, terminal);
  if (unroll) {
    const attentionUnroll = Number(unroll) as Tuning["attentionUnroll"];
    device.tuning = { ...device.tuning, attentionUnroll };
  }
  const rank = Number((values as MethodValues).rank ?? 64);
  const dry = openDryDevice(device).device;
  using _ = await Training.open(dry, {
    config: architecture(values, sequenceLength),
    method: await trainingMethod({ ...values, rank }, dry, terminal),
    batchSize: batch,
    sequenceLength,
    gradientCheckpointing: false,
    seed: 0,
  });
  const times: { name: string; lines: number; ms: number }[] = [];
  for (const { name, code } of dry.kernels()) {
    const kernel = new Kernel(device.gpu, name, code);
    const started = performance.now();
    await device.wait(() => kernel.compile());
    times.push({ name, lines: code.split("\n").length, ms: performance.now() - started });
  }
  times.sort((a, b) => b.ms - a.ms);
  for (const { name, lines, ms } of times) {
    terminal.stdout(
      `${ms.toFixed(0).padStart(7)} ms ${lines.toString().padStart(6)} lines  ${name}\n`,
    );
  }
  const sum = times.reduce((total, { ms }) => total + ms, 0);
  terminal.stdout(
    `${device.name} (${device.provider}): ${times.length} kernels, ${sum.toFixed(0)} ms\n`,
  );
}

if (import.meta.main) await runScript(run);
