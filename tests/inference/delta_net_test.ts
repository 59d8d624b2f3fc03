/** Models with delta nets from and to files: what their configs say, adapters, and tensors that do not fit. */

import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { join } from "node:path";
import { ModelError } from "../../src/errors.ts";
import { mergeModel } from "../../src/inference/merge.ts";
import { Model } from "../../src/inference/model.ts";
import { type PeftAdapter, readPeftAdapter, writePeftAdapter } from "../../src/io/peft.ts";
import { SafetensorsFile, writeSafetensors } from "../../src/io/safetensors.ts";
import { lora } from "../../src/methods/lora/lora.ts";
import { parseModelConfig } from "../../src/model/config.ts";
import { planTensorShapes } from "../../src/model/plan_tensors.ts";
import { DELTA_NET_CONFIG, writeDeltaNetModel } from "../support/delta_net_model.ts";
import { device, expectAllFreed } from "../support/device.ts";
import { withFolder } from "../support/io.ts";
import { randomValues } from "../support/random.ts";

const IDS = [1, 70, 80, 90, 100, 110, 4];
const SIZES = {
  vocab_size: 269,
  hidden_size: 52,
  intermediate_size: 44,
  num_attention_heads: 6,
  num_key_value_heads: 2,
};

const parse = (fields: object) => parseModelConfig({ ...SIZES, ...fields }, '"config.json"');

Deno.test("a config of Qwen 3.5 says which layers are delta nets, as its class does where it does not", () => {
  const kinds = (fields: object) =>
    parse(fields).plan.layers.map(({ attention }) => attention ? "attention" : "delta net");
  assertEquals(kinds(DELTA_NET_CONFIG), ["delta net", "attention", "delta net"]);
  const { layer_types: _, ...absent } = { ...DELTA_NET_CONFIG, num_hidden_layers: 5 };
  const [net, full] = ["delta net", "attention"];
  assertEquals(kinds(absent), [net, net, net, full, net]);
  assertEquals(kinds({ ...absent, full_attention_interval: 2 }), [net, full, net, full, net]);
  const shapes = planTensorShapes(parse(DELTA_NET_CONFIG).plan);
  const of = (name: string) => shapes.get(`model.layers.${name}`);
  assertEquals(of("0.linear_attn.conv1d.weight"), [2 * 20 + 54, 1, 4]);
  assertEquals(of("0.linear_attn.in_proj_qkv.weight"), [2 * 20 + 54, 52]);
  assertEquals(of("1.self_attn.q_proj.weight"), [2 * 6 * 16, 52]);
  // As published, with what other tools read.
  const published = {
    attn_output_gate: true,
    mamba_ssm_dtype: "float32",
    mtp_num_hidden_layers: 1,
    mlp_only_layers: [],
    partial_rotary_factor: 0.25,
    rope_parameters: {
      rope_type: "default",
      rope_theta: 1e7,
      mrope_section: [1, 1, 0],
      mrope_interleaved: true,
      partial_rotary_factor: 0.25,
    },
  };
  const { plan } = parse({ ...DELTA_NET_CONFIG, ...published });
  assertEquals(plan.layers[1].attention!.rope!.rotatedDims, 4);
});

Deno.test("a config that no delta net can have is refused by its field", () => {
  const cases: [object, string][] = [
    [{ layer_types: Array(3).fill("linear_attention") }, "layer_types"],
    [{ layer_types: ["linear_attention", "sliding_attention", "full_attention"] }, "layer_types"],
    [{ linear_num_value_heads: 5 }, "linear_num_value_heads"],
    [{ linear_key_head_dim: 300 }, "linear_key_head_dim"],
    [{ hidden_act: "gelu_pytorch_tanh" }, "hidden_act"],
    [{ attn_output_gate: false }, "attn_output_gate"],
  ];
  for (const [change, field] of cases) {
    const config = { ...DELTA_NET_CONFIG, ...change };
    assertThrows(() => parse(config), ModelError, `${field} in "config.json" must be `);
  }
  const llama = {
    ...{ ...SIZES, head_dim: 10, num_hidden_layers: 1 },
    ...{ model_type: "llama", linear_num_key_heads: 2 },
  };
  assertThrows(() => parse(llama), ModelError, "linear_num_key_heads");
});

Deno.test("an adapter on every linear layer of a model with delta nets is written as it was read, and used", () =>
  withFolder(async (folder) => {
    await writeDeltaNetModel(folder);
    await using _ = expectAllFreed();
    using model = await Model.load(folder, { device });
    const base = await model.logits(IDS);
    const tensors: PeftAdapter["tensors"] = new Map();
    const rank = 8; // more than the gates have heads
    for (const [name, shape] of planTensorShapes(model.config.plan)) {
      if (shape.length !== 2 || !name.includes(".layers.")) continue;
      const [outFeatures, inFeatures] = shape;
      tensors.set(name.replace(/\.weight$/, ""), {
        A: randomValues(rank * inFeatures, tensors.size + 1, 0.2),
        B: randomValues(outFeatures * rank, tensors.size + 100, 0.2),
        inFeatures,
        outFeatures,
      });
    }
    assertEquals(tensors.size, 2 * 5 + 4 + 3 * 3);
    const targetModules = [...new Set([...tensors.keys()].map((name) => name.split(".").at(-1)!))];
    const adapter = { config: { rank, alpha: 8, useRslora: false, targetModules }, tensors };
    await writePeftAdapter(join(folder, "given"), adapter, { baseModel: folder });
    const read = await readPeftAdapter(join(folder, "given"));
    await model.use(lora({ adapter: read }));
    const adapted = await model.logits(IDS);
    assertEquals(base.some((value, i) => Math.abs(value - adapted[i]) > 0.01), true);
    await model.save(join(folder, "written"));
    assertEquals((await readPeftAdapter(join(folder, "written"))).tensors, read.tensors);

    await mergeModel(folder, join(folder, "merged"), { adapter: read, saveAs: "f32" });
    using merged = await Model.load(join(folder, "merged"), { device });
    const off = (await merged.logits(IDS)).map((value, i) => Math.abs(value - adapted[i]));
    assertEquals(Math.max(...off) < 1e-3, true, `a logit is off by ${Math.max(...off)}`);
  }));

Deno.test("a convolution of another shape is refused", () =>
  withFolder(async (folder) => {
    await writeDeltaNetModel(folder);
    const path = join(folder, "model.safetensors");
    const tensors: { name: string; shape: number[]; bytes: Uint8Array }[] = [];
    {
      using file = await SafetensorsFile.open(path);
      for (const [name, { shape }] of file.tensors) {
        tensors.push({ name, shape: [...shape], bytes: await file.read(name) });
      }
    }
    const conv = tensors.find(({ name }) => name.endsWith("0.linear_attn.conv1d.weight"))!;
    conv.shape = [4, 1, 94];
    await writeSafetensors(
      path,
      tensors.map(({ bytes, ...tensor }) => ({ ...tensor, dtype: "F32", data: () => bytes })),
    );
    await assertRejects(
      () => Model.load(folder, { device }),
      ModelError,
      `Cannot use "${conv.name}" as its shape is [4,1,94]: config.json asks for [94,1,4]`,
    );
  }));
