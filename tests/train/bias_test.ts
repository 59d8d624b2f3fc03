/** Training on a model with biases. */

import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { join } from "node:path";
import {
  Dataset,
  falqon,
  full,
  int8Lora,
  lora,
  type Method,
  Model,
  Trainer,
  type TrainerOptions,
} from "../../mod.ts";
import { biasedParts, biasName } from "../../src/layers/bias.ts";
import { device, expectAllFreed } from "../support/device.ts";
import { withFolder } from "../support/io.ts";
import { BIASES, writeTinyModel } from "../support/tiny_model.ts";

const METHODS: Record<string, () => Method> = {
  "falqon": () => falqon({ rank: 5 }),
  "falqon in int8 with pending rows": () => falqon({ rank: 5, format: "int8", topK: 3 }),
  "lora": () => lora({ rank: 5 }),
  "int8-lora": () => int8Lora({ rank: 5 }),
  "full": () => full(),
};

/** The biases of a trainer's model, as it is on the GPU. */
async function biasesOf(model: Model): Promise<Float32Array[]> {
  const network = await model.network();
  const names = network.linears().flatMap(({ spec }) => biasedParts(spec).map(biasName));
  return await Promise.all(names.map((name) => network.readParameter(name)));
}

Deno.test("a resumed run goes on bit for bit; full trains biases, and no other method does", () =>
  withFolder(async (folder) => {
    await writeTinyModel(folder, { config: BIASES });
    const rows = Array.from({ length: 40 }, (_, i) => ({ text: `row ${i} of ${i * 7 % 11}` }));
    await using _ = expectAllFreed();
    for (const [name, method] of Object.entries(METHODS)) {
      using model = await Model.load(folder, { device });
      const before = await biasesOf(model);
      assertEquals(before.length, 2 * 7);
      const run = async (options: Partial<TrainerOptions>) => {
        using trainer = await Trainer.create({
          model,
          method: method(),
          data: Dataset.from(rows),
          batchSize: 2,
          sequenceLength: 24,
          steps: 6,
          learningRate: 3e-3,
          seed: 3,
          logEvery: 1,
          ...options,
        });
        const losses: number[] = [];
        for await (const { loss } of trainer.run()) losses.push(loss);
        return { losses, biases: await biasesOf(model) };
      };
      const outputDir = join(folder, name);
      const whole = await run({ outputDir, saveEvery: 3 });
      assertEquals(whole.losses.length, 6);
      assert(whole.losses.every(Number.isFinite), name);
      const rest = await run({ resumeFrom: join(outputDir, "checkpoint-3") });
      assertEquals(rest.losses, whole.losses.slice(3), name);
      assertEquals(rest.biases, whole.biases, name);
      for (const [i, values] of whole.biases.entries()) {
        if (name === "full") assertNotEquals(values, before[i]);
        else assertEquals(values, before[i], name);
      }
    }
  }));
