/** Gemma 4 from file to file: training by every method, saving, adapters, resuming. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { join } from "node:path";
import {
  Dataset,
  falqon,
  full,
  lora,
  type Method,
  Model,
  ModelError,
  qlora,
  readPeftAdapter,
  Trainer,
} from "../../mod.ts";
import { expectDecodedAsLogits } from "../support/decoded_tokens.ts";
import { device } from "../support/device.ts";
import { withFolder } from "../support/io.ts";
import { GEMMA4, GEMMA4_E, writeTinyModel } from "../support/tiny_model.ts";

const IDS = Array.from({ length: 40 }, (_, i) => 3 + (i * 37) % 250);
const SCALE = "model.layers.1.layer_scalar";
const TRAINED: Record<string, Method> = {
  "full": full(),
  "LoRA": lora({ rank: 4 }),
  "QLoRA": qlora({ rank: 4 }),
  "FALQON in FP8": falqon({ rank: 4 }),
  "FALQON in FP8, accumulate": falqon({ rank: 4, updateRule: "accumulate" }),
  "FALQON in int8": falqon({ rank: 4, format: "int8" }),
  "FALQON in int8, A trained": falqon({ rank: 4, format: "int8", trainA: true }),
};

for (const [family, config] of Object.entries({ "dense": GEMMA4, "E": GEMMA4_E })) {
  for (const [name, method] of Object.entries(TRAINED)) {
    Deno.test(`${name} trains a ${family} model, resumes bit for bit, and what it saves is loaded with the same loss`, () =>
      withFolder(async (folder) => {
        const [base, out, runs] = ["base", "out", "runs"].map((name) => join(folder, name));
        await Deno.mkdir(base);
        await writeTinyModel(base, { config });
        const rows = Array.from({ length: 8 }, () => ({ text: "abcdefghijklmnop" }));
        const sequence = { inputIds: IDS, labels: IDS };
        const options = {
          data: Dataset.from(rows),
          method,
          batchSize: 4,
          sequenceLength: 16,
          steps: 6,
          learningRate: 1e-2,
        };
        using model = await Model.load(base, { device });
        const scale = await (await model.network()).readParameter(SCALE);
        using trainer = await Trainer.create({ model, ...options, outputDir: runs, saveEvery: 3 });
        const losses: number[] = [];
        for await (const { loss } of trainer.run()) losses.push(loss);
        assert(losses.at(-1)! < losses[0] - 0.1, losses.join());
        await trainer.save(out);
        const trained = await model.loss(sequence);
        assertEquals(await (await model.network()).readParameter(SCALE), scale);

        const isAdapter = /LoRA/.test(name);
        using saved = await Model.load(isAdapter ? base : out, { device });
        if (isAdapter) {
          const adapter = await readPeftAdapter(out);
          const modules = [...adapter.tensors.keys()];
          const wanted = modules.length;
          assertEquals(wanted, family === "E" ? 7 * 2 + 5 * 2 + 2 * 4 + 1 : 13);
          await saved.use(lora({ adapter, base: name === "QLoRA" ? "nf4" : "f32" }));
        }
        const loss = await saved.loss(sequence);
        // FALQON's norms are saved in BF16.
        const tolerance = name.startsWith("FALQON") ? 0.1 : 1e-5;
        assert(Math.abs(loss - trained) < tolerance, `${loss}, not ${trained}`);

        using again = await Model.load(base, { device });
        using resumed = await Trainer.create({
          model: again,
          ...options,
          resumeFrom: join(runs, "checkpoint-3"),
        });
        const rest: number[] = [];
        for await (const { loss } of resumed.run()) rest.push(loss);
        assertEquals(rest, losses.slice(3));
      }));
  }
}

for (const [family, config] of Object.entries({ "dense": GEMMA4, "E": GEMMA4_E })) {
  Deno.test(`the logits of every token that follows are those of logits(), bit for bit, in f32 and f16, of a ${family} model`, () =>
    withFolder(async (folder) => {
      // Heads of whole vectors, which f16 needs.
      await writeTinyModel(folder, { config: { ...config, head_dim: 16, global_head_dim: 24 } });
      await expectDecodedAsLogits(folder, IDS);
    }));
}

Deno.test("what Gemma 4 has and is not computed is refused by name", async () => {
  const cases: [Record<string, unknown>, RegExp][] = [
    [
      { enable_moe_block: true },
      /^enable_moe_block in .* must be false: found true; choose a dense/,
    ],
    [{ use_bidirectional_attention: "all" }, /^use_bidirectional_attention in/],
    [{ global_head_dim: 514 }, /head size .* from 8 to 512: found 514/],
    [{ num_global_key_value_heads: 5 }, /^num_global_key_value_heads in .*divide/],
    [{ num_kv_shared_layers: 2 }, /^num_kv_shared_layers in/],
    [
      { per_layer_config: { 0: { head_dim: 12 }, 7: {} } },
      /^7 in per_layer_config .* no such layer/,
    ],
    [{ per_layer_config: { 0: { num_experts: 2 } } }, /^num_experts in 0 in per_layer_config/],
    [
      { hidden_size_per_layer_input: 4, vocab_size_per_layer_input: 9 },
      /^vocab_size_per_layer_input in .* at least vocab_size/,
    ],
  ];
  for (const [fields, message] of cases) {
    await withFolder(async (folder) => {
      await writeTinyModel(folder, { config: GEMMA4 });
      const path = join(folder, "config.json");
      const json = JSON.parse(await Deno.readTextFile(path));
      await Deno.writeTextFile(path, JSON.stringify({ ...json, ...fields }));
      const error = await assertRejects(() => Model.load(folder, { device }), ModelError);
      assert(message.test(error.message), error.message);
    });
  }
});
