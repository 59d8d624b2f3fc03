/** The published models that steps are measured of: they load as their families and their memory can be told. */

import { assert, assertEquals } from "@std/assert";
import { architecture } from "../../bench/support/architecture.ts";
import { falqon } from "../../src/methods/falqon/falqon.ts";
import { planTensorShapes } from "../../src/model/plan_tensors.ts";
import { planMemory } from "../../src/train/memory.ts";
import { openDryGpu } from "../support/dry_gpus.ts";

/** Parameters of each model in millions, as their model cards or papers say. */
const MODELS = {
  "smollm2-135m": 135,
  "qwen3-0.6b": 596,
  "qwen3-4b": 4022,
  "qwen3-8b": 8191,
  "llama3-8b": 8030,
  "gemma3-1b": 1000,
  "gemma3-4b": 3880,
  "phi4-mini": 3836,
  "mistral-7b": 7248,
} as const;

for (const [width, millions] of Object.entries(MODELS)) {
  Deno.test(`${width} has its parameters, and a step of it can be planned`, async () => {
    const config = architecture({ width: width as keyof typeof MODELS }, 512);
    const first = architecture({ width: width as keyof typeof MODELS, layers: 1 }, 512);
    assertEquals(first.numLayers, 1);
    const parameters = [...planTensorShapes(config.plan).values()]
      .reduce((sum, shape) => sum + shape.reduce((a, b) => a * b), 0);
    const off = parameters / 1e6 / millions - 1;
    assert(Math.abs(off) < 0.005, `${parameters} parameters`);
    const shape = { batchSize: 4, sequenceLength: 512, gradientCheckpointing: true };
    const method = falqon({ rank: 64, format: "int8" });
    const plan = await planMemory({ config, method, device: openDryGpu(), ...shape });
    assert(plan.total > parameters, `${plan.total} bytes`);
  });
}
