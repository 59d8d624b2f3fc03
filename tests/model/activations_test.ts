import { assertEquals } from "@std/assert";
import { falqon } from "../../src/methods/falqon/falqon.ts";
import { full } from "../../src/methods/full.ts";
import { lora } from "../../src/methods/lora/lora.ts";
import type { Method } from "../../src/layers/method.ts";
import { readModelConfig } from "../../src/model/config.ts";
import { planMemory } from "../../src/train/memory.ts";
import { withFolder } from "../support/io.ts";
import { writeTinyModel } from "../support/tiny_model.ts";

/** Which of the f32 inputs that norm and SwiGLU make for linear layers are in memory while training. */
async function f32Inputs(folder: string, method: Method): Promise<string[]> {
  const config = await readModelConfig(folder);
  const { buffers } = await planMemory({
    config,
    method,
    batchSize: 2,
    sequenceLength: 16,
    gradientCheckpointing: false,
    updateStats: false,
  });
  const labels = [...buffers].map(({ label }) => label);
  return ["normed", "hidden"].filter((name) => labels.includes(name));
}

Deno.test("f32 inputs of linear layers exist only where something reads them", () =>
  withFolder(async (folder) => {
    await writeTinyModel(folder);
    const both = ["normed", "hidden"];
    const cases: [Method, string[]][] = [
      [falqon({ rank: 5, init: "melded" }), []],
      [falqon({ rank: 5, init: "melded", topK: 3, format: "int8" }), []],
      [falqon({ rank: 5, init: "gradient" }), []], // they were there while the gradient was looked at
      [falqon({ rank: 5, init: "melded", scaleGranularity: "tensor" }), both],
      [lora({ rank: 5 }), both],
      [full(), both],
    ];
    for (const [method, wanted] of cases) {
      assertEquals(await f32Inputs(folder, method), wanted, method.name);
    }
  }));
