/**
 * Adapters of every kind that PEFT saves: their logits and losses are PEFT's, beside the model, saved again,
 * and merged; and a run of DoRA trains as PEFT's.
 */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { join } from "node:path";
import {
  Dataset,
  lora,
  mergeModel,
  Model,
  ModelError,
  OptionError,
  readPeftAdapter,
  Trainer,
} from "../../mod.ts";
import { relativeError } from "../oracle/compare.ts";
import { device } from "../support/device.ts";
import { golden, largestDifference, readTensors, TOLERANCE } from "../support/golden.ts";
import { shared, sharedTest, withFolder } from "../support/io.ts";

const llama3 = `${golden}llama3`;
const KINDS = ["patterns", "layers", "dora", "lora-bias", "embed", "head", "tables", "tokens"];

/** What PEFT computes with an adapter. */
async function readGolden(kind: string) {
  const { "case0.input_ids": ids, "case0.labels": labels } = Object.fromEntries(
    await readTensors(`${llama3}/golden.safetensors`),
  );
  const values = await readTensors(`${golden}adapters/${kind}/golden.safetensors`);
  return {
    inputIds: [...ids],
    labels: [...labels],
    logits: values.get("logits")!,
    loss: values.get("loss")![0],
  };
}

async function expectGolden(model: Model, kind: string, what: string): Promise<void> {
  const { inputIds, labels, logits, loss } = await readGolden(kind);
  const worst = largestDifference(await model.logits(inputIds), logits);
  assert(worst <= TOLERANCE.logit, `${kind} ${what}: a logit is off by ${worst}`);
  const difference = Math.abs(await model.loss({ inputIds, labels }) - loss);
  assert(difference <= TOLERANCE.loss, `${kind} ${what}: the loss is off by ${difference}`);
}

for (const kind of KINDS) {
  Deno.test(`adapter "${kind}": logits and loss are PEFT's, beside the model, saved again and merged`, () =>
    withFolder(async (folder) => {
      const adapter = await readPeftAdapter(`${golden}adapters/${kind}`);
      using model = await Model.load(llama3, { device });
      await model.use(lora({ adapter }));
      await expectGolden(model, kind, "beside the model");
      const again = join(folder, "again");
      await model.save(again);
      const stored = await readPeftAdapter(again);
      assertEquals(stored.tensors, adapter.tensors);
      assertEquals(stored.others, adapter.others);
      await model.use(lora({ adapter: stored }));
      await expectGolden(model, kind, "saved again");

      const merged = join(folder, "merged");
      const merging = { adapter, saveAs: "f32" } as const;
      if (kind === "lora-bias") {
        const refused = "Cannot merge the adapter as it brings biases of 4 layers, such as";
        await assertRejects(() => mergeModel(llama3, merged, merging), OptionError, refused);
        await assertRejects(() => model.save(merged, { saveAs: "bf16" }), OptionError, refused);
        await assertRejects(() => model.lossAndGradients(LABELLED), OptionError, "added biases");
        return;
      }
      await mergeModel(llama3, merged, merging);
      using whole = await Model.load(merged, { device });
      await expectGolden(whole, kind, "merged");
      assertEquals(whole.config.tieWordEmbeddings, !["embed", "head", "tables"].includes(kind));
      const { gradients } = await model.lossAndGradients(LABELLED);
      const untied = (await whole.lossAndGradients(LABELLED)).gradients;
      assertEquals([...gradients.keys()], [...untied.keys()]);
      for (const [name, gradient] of gradients) {
        assert(relativeError(gradient, Float64Array.from(untied.get(name)!)) < 1e-4, name);
      }
    }));
}

const LABELLED = { inputIds: [1, 5, 9, 4], labels: [1, 5, 9, 4] };

Deno.test("DoRA with rsLoRA trains as PEFT's, and an adapter's other tensors stay in its folder", () =>
  withFolder(async (folder) => {
    const run = `${golden}adapters/dora-run`;
    const values = await readTensors(`${run}/run.safetensors`);
    const losses = [...values.get("losses")!];
    const ids = values.get("batches")!;
    const rows = Array.from({ length: 12 }, (_, row) => [...ids.slice(27 * row, 27 * row + 27)]);
    const data = Dataset.from(rows.map((row) => ({ input_ids: row })));
    using model = await Model.load(llama3, { device });
    const method = lora({ adapter: await readPeftAdapter(`${run}/init`) });
    using trainer = await Trainer.create({
      ...{ model, data, method, steps: losses.length, learningRate: 1e-2 },
      ...{ batchSize: 2, sequenceLength: 27 },
      rows: { shuffle: false, packing: false },
    });
    const got: number[] = [];
    for await (const { loss } of trainer.run()) got.push(loss);
    const worst = Math.max(...got.map((loss, i) => Math.abs(loss - losses[i])));
    assert(worst <= TOLERANCE.loss, `a loss is off by ${worst}: ${got}, ${losses}`);
    await trainer.save(join(folder, "out"));
    const { config, tensors } = await readPeftAdapter(join(folder, "out"));
    const final = await readPeftAdapter(`${run}/final`);
    assertEquals({ ...config, targetModules: [...config.targetModules].sort() }, final.config);
    for (const [module, { A, B, magnitude }] of final.tensors) {
      const mine = tensors.get(module)!;
      const errors = [[mine.A, A], [mine.B, B], [mine.magnitude!, magnitude!]]
        .map(([a, b]) => relativeError(a, Float64Array.from(b)));
      assert(Math.max(...errors) < 2e-3, `${module}: ${errors}`);
    }
    console.log(`  losses within ${worst}`);
  }));

Deno.test("a DoRA that begins anew begins as PEFT's, and an adapter of another model is refused", async () => {
  const init = await readPeftAdapter(`${golden}adapters/dora-run/init`);
  using model = await Model.load(llama3, { device });
  const targetModules = init.config.targetModules;
  await model.use(lora({ rank: 3, alpha: 6, dora: true, rslora: true, targetModules }));
  await withFolder(async (folder) => {
    await model.save(folder);
    const { tensors, config } = await readPeftAdapter(folder);
    assertEquals([config.useDora, config.useRslora], [true, true]);
    for (const [module, { magnitude }] of init.tensors) {
      const error = relativeError(tensors.get(module)!.magnitude!, Float64Array.from(magnitude!));
      assert(error < 1e-6, `${module}: ${error}`);
    }
  });
  using other = await Model.load(`${golden}mistral`, { device });
  for (const kind of KINDS) {
    const adapter = await readPeftAdapter(`${golden}adapters/${kind}`);
    await assertRejects(() => other.use(lora({ adapter })), ModelError, "for another model");
  }
});

sharedTest(
  "all kinds of PEFT's adapters beside the repository have PEFT's loss, or are refused plainly",
  async () => {
    const root = `${shared}golden/adapters`;
    const refused = { "layer-replication": "layer_replication", pissa: "pissa", olora: "olora" };
    using model = await Model.load(`${shared}models/stories260K`, { device });
    for (const { name } of Deno.readDirSync(root)) {
      if (name in refused) {
        const message = refused[name as keyof typeof refused];
        await assertRejects(() => readPeftAdapter(`${root}/${name}`), ModelError, message);
        continue;
      }
      const values = await readTensors(`${root}/${name}/golden.safetensors`);
      await model.use(lora({ adapter: await readPeftAdapter(`${root}/${name}`) }));
      let loss = 0;
      for (const row of [0, 1, 2]) {
        const ids = [...values.get("input_ids")!.slice(24 * row, 24 * row + 24)];
        const logits = values.get("logits")!.slice(24 * 512 * row, 24 * 512 * (row + 1));
        const worst = largestDifference(await model.logits(ids), logits);
        assert(worst <= TOLERANCE.logit, `${name}: a logit is off by ${worst}`);
        loss += await model.loss({ inputIds: ids, labels: ids }) / 3;
      }
      const difference = Math.abs(loss - values.get("loss")![0]);
      assert(difference <= TOLERANCE.loss, `${name}: the loss is off by ${difference}`);
    }
  },
);
