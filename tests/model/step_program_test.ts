/**
 * The recorded program of a training step, kept in a file: a change of what a step dispatches is
 * seen in review. Where it is meant, write the file again:
 *
 * ```
 * deno test -A tests/model/step_program_test.ts -- --update
 * ```
 */

import { assert, assertEquals } from "@std/assert";
import { falqon, lora, type Method } from "../../mod.ts";
import type { Device } from "../../src/gpu/device.ts";
import type { Kernel } from "../../src/gpu/kernel.ts";
import { type Bindings, Program } from "../../src/gpu/program.ts";
import { StepState } from "../../src/gpu/step_state.ts";
import type { WeightSource } from "../../src/layers/weight_source.ts";
import { parseModelConfig } from "../../src/model/config.ts";
import { Network } from "../../src/model/network.ts";
import { openDryGpu, openDryTensorGpu } from "../support/dry_gpus.ts";

const SNAPSHOT = new URL("step_program.txt", import.meta.url);

/** Sizes that are no multiples of tiles, and large enough for the kernels of large models. */
const CONFIG = parseModelConfig({
  model_type: "llama",
  vocab_size: 300,
  hidden_size: 72,
  num_hidden_layers: 2,
  num_attention_heads: 6,
  num_key_value_heads: 2,
  head_dim: 16,
  intermediate_size: 172,
}, "this test");
const TOKENS = 123;

const GPUS: Record<string, () => Device> = {
  "a GPU with f16": openDryGpu,
  "a GPU with tensor cores": openDryTensorGpu,
};
const METHODS: Record<string, () => Method> = {
  "FALQON": () => falqon({ rank: 8, init: "melded" }),
  "FALQON in int8, rounded stochastically": () =>
    falqon({ rank: 8, format: "int8", updateRule: "stochastic" }),
  "FALQON in int8, A trained as well": () =>
    falqon({ rank: 8, format: "int8", updateRule: "stochastic", trainA: true }),
  "LoRA in f32": () => lora({ rank: 8 }),
};

const NO_WEIGHTS: WeightSource = {
  rows: () => Promise.reject(new TypeError("There are no weights to read")),
  codes: () => Promise.resolve(null),
  fill: () => {},
};

/** A program that writes down what is recorded: a line for each dispatch. */
class WrittenProgram extends Program {
  readonly lines: string[] = [];

  override phase(name: string): void {
    super.phase(name);
    this.lines.push(`  ${name}`);
  }

  override dispatch(
    kernel: Kernel,
    bindings: Bindings,
    params: Readonly<Record<string, number>>,
    grid: [number, number?, number?],
    cost: { label?: string } = {},
  ): void {
    super.dispatch(kernel, bindings, params, grid, cost);
    const values = kernel.layout.params.map(({ name }) => params[name]);
    const bytes = Object.values(bindings).reduce((sum, { size }) => sum + size, 0);
    const digest = checksum(values.join());
    const line = [kernel.name, grid.join("×"), digest, `${bytes} B`, cost.label ?? ""];
    this.lines.push(`    ${line.join("  ").trimEnd()}`);
  }

  override copy(...views: Parameters<Program["copy"]>): void {
    super.copy(...views);
    this.lines.push(`    copy ${views[0].size} B`);
  }

  override clear(view: Parameters<Program["clear"]>[0]): void {
    super.clear(view);
    this.lines.push(`    clear ${view.size} B`);
  }
}

/** Eight hexadecimal digits that tell texts apart (FNV-1a). */
function checksum(text: string): string {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) hash = Math.imul(hash ^ byte, 0x01000193);
  return (hash >>> 0).toString(16).padStart(8, "0");
}

/** Records forward, losses and backward of a step, and what the method adds after the optimizer. */
async function recordStep(device: Device, method: Method): Promise<string[]> {
  using network = await Network.create({
    device,
    config: CONFIG,
    method,
    source: NO_WEIGHTS,
    random: () => 0,
    gradients: true,
    moments: true,
    restoring: true, // adapters are not computed
  });
  network.reserve({ tokens: TOKENS, training: true, checkpointing: false });
  using state = new StepState(device, { beta1: 0, beta2: 0 });
  const program = new WrittenProgram(device);
  network.recordTraining(program, TOKENS, state);
  program.phase("update");
  network.layers.update?.(program, state);
  return program.lines;
}

Deno.test("a training step of LLaMA dispatches what step_program.txt says", async () => {
  const lines: string[] = [];
  for (const [gpu, open] of Object.entries(GPUS)) {
    for (const [name, method] of Object.entries(METHODS)) {
      lines.push(`${name}, ${gpu}`, ...await recordStep(open(), method()), "");
    }
  }
  assert(lines.length > 200, `only ${lines.length} lines were recorded`);
  if (Deno.args.includes("--update")) await Deno.writeTextFile(SNAPSHOT, lines.join("\n"));
  const kept = await Deno.readTextFile(SNAPSHOT);
  assertEquals(lines, kept.split("\n"), "the step has changed: see the top of this file");
});
