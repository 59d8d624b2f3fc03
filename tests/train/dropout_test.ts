/** Dropout in a run: it acts, evaluation does without, and a resumed run draws the same masks. */

import { assert, assertEquals } from "@std/assert";
import { join } from "node:path";
import { Dataset, lora, Model, readPeftAdapter, Trainer } from "../../mod.ts";
import { device } from "../support/device.ts";
import { withFolder } from "../support/io.ts";
import { writeTinyModel } from "../support/tiny_model.ts";

const rows = Array.from(
  { length: 24 },
  (_, i) => ({ input_ids: Array.from({ length: 20 }, (_, t) => 3 + (7 * i + t * t) % 60) }),
);

for (const gradientCheckpointing of [false, true]) {
  Deno.test(`a resumed run with dropout and DoRA is the whole run, to the bit; gradient checkpointing ${gradientCheckpointing}`, () =>
    withFolder(async (folder) => {
      const modelFolder = join(folder, "model");
      await Deno.mkdir(modelFolder);
      await writeTinyModel(modelFolder);
      const run = async (out: string, steps: number, resume: boolean, dropout = 0.3) => {
        using model = await Model.load(modelFolder, { device });
        using trainer = await Trainer.create({
          ...{ model, data: Dataset.from(rows), steps, batchSize: 2, sequenceLength: 20 },
          ...{ gradientCheckpointing, outputDir: join(folder, out), saveEvery: 2 },
          method: lora({ rank: 3, dora: true, dropout }),
          gradAccumSteps: 2,
          learningRate: 1e-2,
          ...(resume && { resumeFrom: join(folder, out) }),
        });
        const losses: number[] = [];
        for await (const { loss } of trainer.run()) losses.push(loss);
        const evaluated = [await trainer.evaluate(Dataset.from(rows))];
        evaluated.push(await trainer.evaluate(Dataset.from(rows)));
        assertEquals(evaluated[0], evaluated[1]);
        await trainer.save(join(folder, `${out}-adapter`), { overwrite: true });
        return { losses, adapter: await readPeftAdapter(join(folder, `${out}-adapter`)) };
      };
      const whole = await run("whole", 4, false);
      const first = await run("parts", 2, false);
      const second = await run("parts", 4, true);
      assertEquals([...first.losses, ...second.losses], whole.losses);
      assertEquals(second.adapter, whole.adapter);
      assertEquals(second.adapter.config.dropout, 0.3);
      const without = await run("without", 2, false, 0);
      assert(without.losses[1] !== whole.losses[1]);
    }));
}
