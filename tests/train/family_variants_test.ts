/** Training of families far from LLaMA: planned to the byte, checkpointed and resumed bit for bit. */

import { assert, assertEquals } from "@std/assert";
import { join } from "node:path";
import {
  Dataset,
  falqon,
  full,
  int8Lora,
  type Method,
  Model,
  Trainer,
  type TrainerOptions,
} from "../../mod.ts";
import { planMemory } from "../../src/train/memory.ts";
import { device, expectAllFreed } from "../support/device.ts";
import { FAMILY_VARIANTS } from "../support/family_variants.ts";
import { withFolder } from "../support/io.ts";
import { writeTinyModel } from "../support/tiny_model.ts";

/** One of each: biases and windows, fused weights in another order, factors, norms behind branches, delta nets. */
const VARIANTS = [
  "smollm3, a window where nothing turns, biases",
  "phi3, a quarter of a head turns, longrope, a window",
  "granite, every factor, every bias",
  "gemma3 in a model of images",
  "qwen3.5, three value heads a key, a convolution of three, biases",
];

/** Whether values are kept in f16, as on large GPUs, and how a model is trained. */
const METHODS: Record<string, [narrow: boolean, method: () => Method]> = {
  "falqon": [true, () => falqon({ rank: 5 })],
  "falqon in int8, A trained too": [
    false,
    () => falqon({ rank: 5, format: "int8", trainA: true }),
  ],
  "int8-lora": [true, () => int8Lora({ rank: 5 })],
  "full": [false, () => full()],
};

const STEPS = 4;
const CHECKPOINT = 2;
const shape = { batchSize: 2, sequenceLength: 32 };

for (const variant of VARIANTS) {
  Deno.test(`${variant}: trained as planned, the same where the forward is made again or resumed`, () =>
    withFolder(async (folder) => {
      await writeTinyModel(folder, { config: FAMILY_VARIANTS[variant] });
      const rows = Array.from({ length: 40 }, (_, i) => ({ text: `row ${i} of ${i * 7 % 11}` }));
      const { tuning } = device;
      for (const [name, [narrow, method]] of Object.entries(METHODS)) {
        const f16Storage = { activations: true, gradients: true };
        device.tuning = narrow ? { ...tuning, f16Storage } : tuning;
        await using _ = expectAllFreed();
        using model = await Model.load(folder, { device });
        const run = async (options: Partial<TrainerOptions>) => {
          const { allocatedBytes: before } = device;
          using trainer = await Trainer.create({
            model,
            method: method(),
            data: Dataset.from(rows),
            ...shape,
            steps: STEPS,
            learningRate: 3e-3,
            logEvery: 1,
            ...options,
          });
          const bytes = device.allocatedBytes - before;
          const losses: number[] = [];
          for await (const { loss } of trainer.run()) losses.push(loss);
          model.release(await model.network());
          return { losses, bytes };
        };
        const output = join(folder, name);
        const { losses, bytes } = await run({ outputDir: output, saveEvery: CHECKPOINT });
        assert(losses[STEPS - 1] < losses[0], `${name}: ${losses}`);
        const plan = await planMemory({
          config: model.config,
          method: method(),
          device,
          ...shape,
          gradientCheckpointing: false,
        });
        assertEquals(bytes, plan.total, name);

        const again = await run({ gradientCheckpointing: true });
        assertEquals(again.losses, losses, name);
        const resumed = await run({ resumeFrom: join(output, `checkpoint-${CHECKPOINT}`) });
        assertEquals(resumed.losses, losses.slice(CHECKPOINT), name);
      }
    }));
}
