/** Models with norms of queries and keys from file to file: generation, training, saving. */

import { assert, assertEquals } from "@std/assert";
import { join } from "node:path";
import {
  Dataset,
  falqon,
  full,
  lora,
  type Method,
  Model,
  readPeftAdapter,
  Trainer,
} from "../../mod.ts";
import { expectDecodedAsLogits } from "../support/decoded_tokens.ts";
import { device } from "../support/device.ts";
import { withFolder } from "../support/io.ts";
import { writeTinyModel } from "../support/tiny_model.ts";

/** Qwen 3 has norms over heads. */
const QWEN3 = { model_type: "qwen3", head_dim: 16 };
const IDS = Array.from({ length: 40 }, (_, i) => 3 + (i * 37) % 250);
const Q_NORM = "model.layers.1.self_attn.q_norm.weight";

Deno.test("the logits of every token that follows are those of logits(), bit for bit, in f32 and f16", () =>
  withFolder(async (folder) => {
    await writeTinyModel(folder, { config: QWEN3 });
    await expectDecodedAsLogits(folder, IDS);
  }));

const TRAINED: Record<string, Method> = {
  "full": full(),
  "LoRA": lora({ rank: 4 }),
  "FALQON in FP8": falqon({ rank: 4 }),
  "FALQON in int8": falqon({ rank: 4, format: "int8" }),
};

for (const [name, method] of Object.entries(TRAINED)) {
  Deno.test(`${name}: learns, and what it saves is loaded with the same loss`, () =>
    withFolder(async (folder) => {
      const [base, out] = ["base", "out"].map((name) => join(folder, name));
      await Deno.mkdir(base);
      await writeTinyModel(base, { config: QWEN3 });
      const rows = Array.from({ length: 8 }, () => ({ text: "abcdefghijklmnop" }));
      const sequence = { inputIds: IDS, labels: IDS };
      using model = await Model.load(base, { device });
      const untrained = await model.loss(sequence);
      const before = await (await model.network()).readParameter(Q_NORM);
      using trainer = await Trainer.create({
        model,
        data: Dataset.from(rows),
        method,
        batchSize: 4,
        sequenceLength: 16,
        steps: 6,
        learningRate: 1e-2,
      });
      const losses: number[] = [];
      for await (const { loss } of trainer.run()) losses.push(loss);
      assert(losses.at(-1)! < losses[0] - 0.1, losses.join());
      await trainer.save(out);
      const trained = await model.loss(sequence);
      assert(trained !== untrained);
      const after = await (await model.network()).readParameter(Q_NORM);
      assertEquals(name === "full", after.some((w, i) => w !== before[i]));

      const isAdapter = name === "LoRA";
      using saved = await Model.load(isAdapter ? base : out, { device });
      if (isAdapter) await saved.use(lora({ adapter: await readPeftAdapter(out) }));
      const loss = await saved.loss(sequence);
      // FALQON's norms are saved in BF16.
      const tolerance = name.startsWith("FALQON") ? 0.03 : 1e-6;
      assert(Math.abs(loss - trained) < tolerance, `${loss}, not ${trained}`);
      if (name === "full") {
        assertEquals(await (await saved.network()).readParameter(Q_NORM), after);
      }
    }));
}
