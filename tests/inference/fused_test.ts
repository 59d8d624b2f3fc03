/** Models whose q, k and v, and gate and up, are one weight each. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { join } from "node:path";
import {
  falqon,
  fp8Lora,
  frozen,
  full,
  int8Lora,
  lora,
  type Method,
  Model,
  ModelError,
  OptionError,
  readPeftAdapter,
} from "../../mod.ts";
import { SafetensorsFile } from "../../src/io/safetensors.ts";
import { type PeftAdapter, writePeftAdapter } from "../../src/io/peft.ts";
import { relativeError } from "../oracle/compare.ts";
import { device } from "../support/device.ts";
import { splitFused, writeFusedModel, writeTwins } from "../support/fused_model.ts";
import { readTensors } from "../support/golden.ts";
import { withFolder } from "../support/io.ts";
import { randomValues } from "../support/random.ts";
import { writeTinyModel } from "../support/tiny_model.ts";

const ids = Array.from({ length: 21 }, (_, i) => 3 + (i * 37) % 250);
const sequence = { inputIds: ids, labels: ids };

async function logits(folder: string, method: Method): Promise<Float32Array> {
  using model = await Model.load(folder, { device });
  await model.use(method);
  return await model.logits(ids);
}

Deno.test("a fused model computes bit by bit what the same weights do one by one", () =>
  withFolder(async (folder) => {
    await writeTwins(folder);
    const [fused, plain] = ["fused", "plain"].map((name) => join(folder, name));
    for (const base of ["f32", "f16", "fp8", "int8"] as const) {
      assertEquals(await logits(fused, frozen(base)), await logits(plain, frozen(base)), base);
    }
    // Its magnitudes are quantised in other groups.
    const want = await logits(plain, frozen("nf4"));
    const error = relativeError(await logits(fused, frozen("nf4")), want);
    assert(error > 0 && error < 0.1, `NF4: ${error}`);

    using one = await Model.load(fused, { device });
    using other = await Model.load(plain, { device });
    const [got, expected] = [
      await one.lossAndGradients(sequence),
      await other.lossAndGradients(sequence),
    ];
    assertEquals(got.loss, expected.loss);
    assertEquals(splitFused(got.gradients), expected.gradients);
  }));

Deno.test("what was loaded is saved as it was, in every order of rows", () =>
  withFolder(async (folder) => {
    await writeFusedModel(folder, 0.6);
    const file = (name: string) => readTensors(join(folder, name, "model.safetensors"));
    {
      using model = await Model.load(folder, { device });
      await model.use(full());
      await model.save(join(folder, "full"));
      assertEquals(await file("full"), await file("."));
      for (const format of ["fp8", "int8"] as const) {
        for (const scaleGranularity of ["row", "tensor"] as const) {
          const name = `${format} ${scaleGranularity}`;
          const rotation = false;
          const method = falqon({ rank: 4, init: "kaiming", format, rotation, scaleGranularity });
          await model.use(method);
          await model.save(join(folder, name));
          using saved = await Model.load(join(folder, name), { device });
          await saved.use(method);
          await saved.save(join(folder, `${name} again`));
          const [first, second] = await Promise.all(
            [name, `${name} again`].map((name) => readCodes(join(folder, name))),
          );
          assertEquals(first, second);
          const qkv = first.get("model.layers.0.self_attn.qkv_proj.weight")!;
          assertEquals(qkv.shape, [100, 52]);
        }
      }
    }
  }));

/** The tensors of a folder that are stored as codes: their shapes and bytes. */
async function readCodes(folder: string) {
  using file = await SafetensorsFile.open(join(folder, "model.safetensors"));
  const coded = [...file.tensors.values()].filter(({ name }) => file.tensors.has(`${name}_scale`));
  return new Map(
    await Promise.all(
      coded.map(async ({ name, shape }) =>
        [name, { shape, codes: await file.read(name) }] as const
      ),
    ),
  );
}

/** A random adapter on every linear layer of the fused model. */
function fusedAdapter(): PeftAdapter {
  const rank = 3;
  const sizes = [
    ["self_attn.qkv_proj", 52, 100],
    ["self_attn.o_proj", 60, 52],
    ["mlp.gate_up_proj", 52, 88],
    ["mlp.down_proj", 44, 52],
  ] as const;
  const tensors: PeftAdapter["tensors"] = new Map();
  for (const layer of [0, 1]) {
    for (const [path, inFeatures, outFeatures] of sizes) {
      const seed = 2 * tensors.size;
      const A = randomValues(rank * inFeatures, seed, 0.3);
      const B = randomValues(outFeatures * rank, seed + 1, 0.3);
      tensors.set(`model.layers.${layer}.${path}`, { A, B, inFeatures, outFeatures });
    }
  }
  const targetModules = ["qkv_proj", "o_proj", "gate_up_proj", "down_proj"];
  return { config: { rank, alpha: 6, useRslora: false, targetModules }, tensors };
}

Deno.test("one adapter on a fused layer is that of each layer in it, and is written as it was read", () =>
  withFolder(async (folder) => {
    await writeTwins(folder);
    const adapter = fusedAdapter();
    const plain: PeftAdapter = {
      config: {
        ...adapter.config,
        targetModules: [
          "q_proj",
          "k_proj",
          "v_proj",
          "o_proj",
          "gate_proj",
          "up_proj",
          "down_proj",
        ],
      },
      tensors: new Map(),
    };
    for (const [module, { A, B, inFeatures }] of adapter.tensors) {
      for (const [part, values] of splitFused(new Map([[module, B]]))) {
        plain.tensors.set(part, { A, B: values, inFeatures, outFeatures: values.length / 3 });
      }
    }
    const [fused, twin] = ["fused", "plain"].map((name) => join(folder, name));
    const without = await logits(twin, frozen());
    for (const method of [lora, fp8Lora, int8Lora]) {
      const want = await logits(twin, method({ adapter: plain }));
      const error = relativeError(await logits(fused, method({ adapter })), want);
      assert(error < 1e-5, `${error}`);
      assert(relativeError(want, without) > 0.1);
    }

    using model = await Model.load(fused, { device });
    await model.use(lora({ adapter }));
    await model.save(join(folder, "adapter"));
    const written = await readPeftAdapter(join(folder, "adapter"));
    assertEquals(written, adapter);
    // Merged weights are those of the files with B·A added, in their order of rows.
    const merged = (await model.network()).readParameter(
      "model.layers.1.self_attn.qkv_proj.weight",
    );
    const { A, B } = adapter.tensors.get("model.layers.1.self_attn.qkv_proj")!;
    const weight = (await readTensors(join(fused, "model.safetensors")))
      .get("model.layers.1.self_attn.qkv_proj.weight")!;
    const expected = weight.map((w, i) => {
      const [row, col] = [Math.floor(i / 52), i % 52];
      return w + 2 * [0, 1, 2].reduce((sum, j) => sum + B[3 * row + j] * A[52 * j + col], 0);
    });
    assert(relativeError(await merged, expected) < 1e-6);
  }));

Deno.test("targets are the names of the model's own layers, and an adapter of another is refused", () =>
  withFolder(async (folder) => {
    await writeFusedModel(folder);
    using model = await Model.load(folder, { device });
    for (const method of [lora, falqon]) {
      await model.use(method({ rank: 4, targetModules: ["qkv_proj", "down_proj"] }));
      await assertRejects(
        () => model.use(method({ targetModules: ["q_proj"] })),
        OptionError,
        'Cannot adapt "q_proj" as the linear layers of this model are qkv_proj, o_proj, gate_up_proj, down_proj: choose from these, or all-linear',
      );
    }
    const adapter = fusedAdapter();
    const { config, tensors } = adapter;
    // PEFT's lists name layers of all families.
    const targetModules = [...config.targetModules, "q_proj", "v_proj", "dense"];
    await model.use(lora({ adapter: { tensors, config: { ...config, targetModules } } }));
    // Ends of paths.
    await writePeftAdapter(join(folder, "adapter"), {
      tensors,
      config: {
        ...config,
        targetModules: ["self_attn.qkv_proj", "o_proj", "mlp.gate_up_proj", "down_proj"],
      },
    }, { baseModel: folder });
    assertEquals(await readPeftAdapter(join(folder, "adapter")), adapter);

    const module = "model.layers.1.mlp.down_proj";
    const changed = (edit: (tensors: PeftAdapter["tensors"]) => void) => {
      const copy = new Map(tensors);
      edit(copy);
      return lora({ adapter: { config, tensors: copy } });
    };
    const cases: [Method, string][] = [
      [
        changed((all) => all.set(module, all.get("model.layers.1.self_attn.o_proj")!)),
        `is for a weight [52, 60] where the model's "${module}" is [52, 44]`,
      ],
      [
        changed((all) => all.set("model.layers.2.mlp.down_proj", all.get(module)!)),
        'changes "model.layers.2.mlp.down_proj.weight", which the model does not have',
      ],
    ];
    for (const [method, message] of cases) {
      await assertRejects(() => model.use(method), ModelError, message);
    }
    // A layer without factors has no adapter, as layers_to_transform has it.
    await model.use(changed((all) => all.delete(module)));
    await Deno.mkdir(join(folder, "llama"));
    await writeTinyModel(join(folder, "llama"));
    using llama = await Model.load(join(folder, "llama"), { device });
    await assertRejects(
      () => llama.use(lora({ adapter })),
      ModelError,
      'changes "model.layers.0.self_attn.qkv_proj.weight", which the model does not have',
    );
  }));
