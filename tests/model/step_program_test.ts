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
import { parseModelConfig } from "../../src/model/config.ts";
import { openDryGpu, openDryTensorGpu } from "../support/dry_gpus.ts";
import { recordStep } from "../support/written_program.ts";

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

Deno.test("a training step of LLaMA dispatches what step_program.txt says", async () => {
  const lines: string[] = [];
  for (const [gpu, open] of Object.entries(GPUS)) {
    for (const [name, method] of Object.entries(METHODS)) {
      lines.push(`${name}, ${gpu}`, ...await recordStep(open(), CONFIG, method()), "");
    }
  }
  assert(lines.length > 200, `only ${lines.length} lines were recorded`);
  if (Deno.args.includes("--update")) await Deno.writeTextFile(SNAPSHOT, lines.join("\n"));
  const kept = await Deno.readTextFile(SNAPSHOT);
  assertEquals(lines, kept.split("\n"), "the step has changed: see the top of this file");
});
