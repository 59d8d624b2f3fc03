import { assert, assertEquals, assertRejects } from "@std/assert";
import { FileError, ModelError } from "../../src/errors.ts";
import { type PeftAdapter, readPeftAdapter, writePeftAdapter } from "../../src/io/peft.ts";
import { SafetensorsFile, type TensorSource, writeSafetensors } from "../../src/io/safetensors.ts";
import { golden, LORA_RUNS, readLora } from "../support/golden.ts";
import { shared, sharedTest, withFolder } from "../support/io.ts";

const module = "model.layers.0.self_attn.q_proj";
const adapter = (): PeftAdapter => ({
  config: { rank: 2, alpha: 16, targetModules: ["q_proj", "v_proj"], useRslora: true },
  tensors: new Map([
    [module, {
      A: Float32Array.of(1, 2, 3, 4, 5, 6),
      B: Float32Array.of(1, -1, 2, -2, 3, -3, 4, -4),
      inFeatures: 3,
      outFeatures: 4,
    }],
    ["model.layers.0.self_attn.v_proj", {
      A: new Float32Array(6).fill(0.5),
      B: new Float32Array(2),
      inFeatures: 3,
      outFeatures: 1,
    }],
  ]),
});

Deno.test("an adapter that is written is read back, under PEFT's names", () =>
  withFolder(async (folder) => {
    const path = `${folder}/out/adapter`;
    await writePeftAdapter(path, adapter(), { baseModel: "some/model" });
    assertEquals(await readPeftAdapter(path), adapter());
    using file = await SafetensorsFile.open(`${path}/adapter_model.safetensors`);
    const prefix = `base_model.model.${module}`;
    assertEquals(file.tensors.get(`${prefix}.lora_A.weight`)?.shape, [2, 3]);
    assertEquals(file.tensors.get(`${prefix}.lora_B.weight`)?.shape, [4, 2]);
    const config = JSON.parse(await Deno.readTextFile(`${path}/adapter_config.json`));
    assertEquals(config.base_model_name_or_path, "some/model");
    assertEquals([config.peft_type, config.task_type, config.r], ["LORA", "CAUSAL_LM", 2]);
  }));

Deno.test("adapters of a text model inside a model of images are for that alone, and read under older names", () =>
  withFolder(async (folder) => {
    const { config, tensors } = adapter();
    const under = (start: string): PeftAdapter => ({
      config,
      tensors: new Map([...tensors].map(([name, it]) => [name.replace("model.", start), it])),
    });
    await writePeftAdapter(folder, under("model.language_model."), { baseModel: "x" });
    const written = JSON.parse(await Deno.readTextFile(`${folder}/adapter_config.json`));
    const targets = new RegExp(`^(${written.target_modules})$`);
    assert(targets.test("model.language_model.layers.11.self_attn.q_proj"));
    assert(!targets.test("model.language_model.layers.11.self_attn.k_proj"));
    assert(!targets.test("model.vision_tower.layers.11.self_attn.q_proj"));
    assertEquals(await readPeftAdapter(folder), under("model.language_model."));

    await writePeftAdapter(folder, under("language_model.model."), { baseModel: "x" });
    assertEquals(await readPeftAdapter(folder), under("model.language_model."));
  }));

Deno.test("adapters of other kinds than LoRA's are refused", () =>
  withFolder(async (folder) => {
    await writePeftAdapter(folder, adapter(), { baseModel: "x" });
    const path = `${folder}/adapter_config.json`;
    const config = JSON.parse(await Deno.readTextFile(path));
    const cases: [object, string][] = [
      [{ peft_type: "IA3" }, "peft_type in"],
      [{ use_dora: true }, "it has no magnitudes of"],
      [{ rank_pattern: { q_proj: 4 } }, "and must be F32, F16 or BF16 with 4 as size 0"],
      [{ rank_pattern: { "(": 4 } }, "rank_pattern in"],
      [{ alpha_pattern: { q_proj: -4 } }, "positive numbers by module"],
      [{ bias: "some" }, "bias in"],
      [{ lora_dropout: 1 }, "lora_dropout in"],
      [{ layer_replication: [[0, 1]] }, "must be off: found [[0,1]]; merge the adapter with PEFT"],
      [{ init_lora_weights: "pissa" }, "init_lora_weights"],
      [{ r: 0 }, "r in"],
      [{ r: 3 }, "and must be F32, F16 or BF16 with 3 as size 0"],
      [{ lora_alpha: "16" }, "lora_alpha"],
      [{ target_modules: [1] }, "target_modules"],
    ];
    for (const [more, message] of cases) {
      await Deno.writeTextFile(path, JSON.stringify({ ...config, ...more }));
      await assertRejects(() => readPeftAdapter(folder), ModelError, message);
    }
    // What PEFT writes for settings that are off.
    const off = { use_dora: false, rank_pattern: {}, modules_to_save: null, target_parameters: [] };
    await Deno.writeTextFile(path, JSON.stringify({ ...config, ...off }));
    assertEquals(await readPeftAdapter(folder), adapter());
    await Deno.writeTextFile(path, JSON.stringify({ ...config, target_modules: ".*_proj" }));
    assertEquals((await readPeftAdapter(folder)).config.targetModules, ["q_proj", "v_proj"]);
  }));

Deno.test("adapters with missing, odd or foreign tensors are refused", () =>
  withFolder(async (folder) => {
    await writePeftAdapter(folder, adapter(), { baseModel: "x" });
    const source = (name: string, shape: number[], dtype: "F32" | "F64" = "F32"): TensorSource => ({
      name: `base_model.model.${name}`,
      dtype,
      shape,
      data: () => new Uint8Array((dtype === "F32" ? 4 : 8) * shape.reduce((a, b) => a * b)),
    });
    const A = source("m.lora_A.weight", [2, 3]);
    const B = source("m.lora_B.weight", [4, 2]);
    const cases: [TensorSource[], string][] = [
      [[], "it holds no tensors"],
      [[A], 'only one factor of "m"'],
      [[B], 'only one factor of "m"'],
      [[A, B, source("m.lora_magnitude_vector", [4])], "though its use_dora is false"],
      [[A, B, source("m.lora_magnitude_vector", [3])], "it has 3 magnitudes for the 4 rows"],
      [[A, B, source("m.ia3_l", [4])], "is no factor of a linear layer"],
      [[A, source("m.lora_B.weight", [4, 3])], "BF16 with 2 as size 1"],
      [[source("m.lora_A.weight", [2]), B], "F32 [2] and must be"],
      [[source("m.lora_A.weight", [2, 3], "F64"), B], "F64 [2,3] and must be"],
    ];
    for (const [tensors, message] of cases) {
      await writeSafetensors(`${folder}/adapter_model.safetensors`, tensors);
      await assertRejects(() => readPeftAdapter(folder), ModelError, message);
    }
    await Deno.remove(`${folder}/adapter_model.safetensors`);
    await assertRejects(() => readPeftAdapter(folder), FileError, "only from safetensors");
    await Deno.remove(`${folder}/adapter_config.json`);
    await assertRejects(() => readPeftAdapter(folder), FileError, "there is no such file");
  }));

Deno.test("a factor whose length does not fit is refused and nothing is written", () =>
  withFolder(async (folder) => {
    const bad = adapter();
    bad.tensors.get(module)!.A = new Float32Array(5);
    await assertRejects(
      () => writePeftAdapter(folder, bad, { baseModel: "x" }),
      FileError,
      "takes 24 bytes, but its data has 20",
    );
    assertEquals([...Deno.readDirSync(folder)], []);
  }));

Deno.test("an adapter that PEFT wrote is read as PEFT had it in memory", async () => {
  const { config, tensors } = await readPeftAdapter(`${golden}llama3/adapter`);
  const { final } = await readLora(LORA_RUNS.find(({ name }) => name === "llama3")!);
  assertEquals([config.rank, config.alpha, config.useRslora], [4, 8, false]);
  assertEquals(config.targetModules, [...final.config.targetModules].sort());
  assertEquals(tensors, final.tensors);
  assert(tensors.values().every(({ A, B }) => A.some((x) => x !== 0) && B.some((x) => x !== 0)));
});

sharedTest("a larger adapter that PEFT wrote is read", async () => {
  const { config, tensors } = await readPeftAdapter(`${shared}models/peft-adapter-stories260K`);
  assertEquals([config.rank, config.alpha, config.useRslora], [8, 16, false]);
  assertEquals(config.targetModules.length, 7);
  assertEquals(tensors.size, 35);
  const down = tensors.get("model.layers.4.mlp.down_proj")!;
  assertEquals([down.inFeatures, down.outFeatures], [172, 64]);
  assertEquals([down.A.length, down.B.length], [8 * 172, 64 * 8]);
  assert(
    tensors.values().every(({ A, B }) => A.some((x) => x !== 0) && B.every(Number.isFinite)),
  );
});
