import { assert, assertAlmostEquals, assertEquals, assertRejects } from "@std/assert";
import { join } from "node:path";
import { falqon, fp8Lora, frozenFp8, frozenInt8, lora, type Method, Model } from "../../mod.ts";
import { OptionError } from "../../src/errors.ts";
import { fromFloat32, toFloat32 } from "../../src/io/dtype.ts";
import type { PeftAdapter } from "../../src/io/peft.ts";
import { SafetensorsFile } from "../../src/io/safetensors.ts";
import { frozen } from "../../src/methods/frozen.ts";
import type { SaveFormat, SaveOptions } from "../../src/inference/save_model.ts";
import { device, expectAllFreed } from "../support/device.ts";
import { withFolder } from "../support/io.ts";
import { randomValues } from "../support/random.ts";
import { writeTinyModel } from "../support/tiny_model.ts";

const ids = Array.from({ length: 40 }, (_, i) => 3 + (i * i * 7 + 11 * i) % 250);
const sequence = { inputIds: ids, labels: ids };

/** Writes the tiny model with weights that BF16 holds exactly, so that saving in it loses nothing. */
async function writeModel(folder: string): Promise<void> {
  await Deno.mkdir(join(folder, "model"));
  const edit = (_: string, values: Float32Array) =>
    values.set(toFloat32(fromFloat32(Float32Array.from(values), "BF16"), "BF16"));
  await writeTinyModel(join(folder, "model"), { edit });
}

/** A random adapter on every linear layer of the tiny model, of about `size` per value. */
async function tinyAdapter(model: Model, size: number): Promise<PeftAdapter> {
  const rank = 2;
  const tensors: PeftAdapter["tensors"] = new Map();
  for (const { spec: { inFeatures, parts } } of (await model.network()).linears()) {
    for (const { module, rows } of parts) {
      const seed = tensors.size;
      const A = randomValues(rank * inFeatures, 2 * seed);
      const B = randomValues(rows * rank, 2 * seed + 1, size);
      tensors.set(module, { A, B, inFeatures, outFeatures: rows });
    }
  }
  const targetModules = ["q", "k", "v", "o", "gate", "up", "down"].map((name) => `${name}_proj`);
  const config = { rank, alpha: rank, useRslora: false, targetModules };
  return { config, tensors };
}

/** Runs a test on the tiny model, with a function that saves under a method and opens what was saved. */
function withSaved(
  test: (
    folder: string,
    save: (
      method: Method,
      options?: SaveOptions,
    ) => Promise<{ loss: number; saved: Model; rounded: boolean }>,
  ) => Promise<void>,
): Promise<void> {
  return withFolder(async (folder) => {
    await writeModel(folder);
    await using _ = expectAllFreed();
    let count = 0;
    await test(folder, async (method, options) => {
      using model = await Model.load(join(folder, "model"), { device });
      await model.use(method);
      const loss = await model.loss(sequence);
      const output = join(folder, `${count++}`);
      const { rounded } = await model.save(output, options);
      return { loss, rounded, saved: await Model.load(output, { device }) };
    });
  });
}

/** The loss of a saved model as the formats of its file are run. */
async function lossOf(saved: Model): Promise<number> {
  const { quantization } = saved.config;
  const isRotated = (quantization?.transforms.rotations.size ?? 0) > 0;
  await saved.use(
    quantization === null
      ? frozen()
      : quantization.format === "fp8"
      ? frozenFp8()
      : frozenInt8(isRotated),
  );
  return await saved.loss(sequence);
}

Deno.test("a model is saved in its method's format as it is, rotated ones with their transforms", () =>
  withSaved(async (_, save) => {
    const cases: [Method, SaveOptions, "fp8" | "int8", number][] = [
      [falqon({ rank: 3 }), {}, "fp8", 0],
      [falqon({ rank: 3, format: "int8", rotation: false }), {}, "int8", 0],
      [falqon({ rank: 3, format: "int8" }), { rotated: true }, "int8", 14],
    ];
    for (const [method, options, format, rotations] of cases) {
      const { loss, rounded, saved: opened } = await save(method, options);
      using saved = opened;
      assert(!rounded);
      assertEquals(saved.config.quantization?.format, format);
      assertEquals(saved.config.quantization?.transforms.rotations.size, rotations);
      // Scales come back as reciprocals of reciprocals, so a value may be rounded the other way.
      assertAlmostEquals(await lossOf(saved), loss, 1e-3);
    }
  }));

Deno.test("a model is saved in every format, with the loss of its weights", () =>
  withSaved(async (folder, save) => {
    const cases: [string, Method, SaveFormat[]][] = [
      ["fp8", falqon({ rank: 3 }), ["fp8", "int8"]],
      ["int8, rotated", falqon({ rank: 3, format: "int8" }), ["int8", "bf16"]],
      ["lora beside fp8", fp8Lora({ rank: 3 }), ["fp8"]],
      ["lora", lora({ rank: 3 }), ["int8"]],
      ["nf4", frozen("nf4"), ["bf16"]],
    ];
    for (const [name, method, formats] of cases) {
      for (const saveAs of formats) {
        const { loss, rounded, saved: opened } = await save(method, { saveAs });
        using saved = opened;
        assertEquals(rounded, !(name === "fp8" && saveAs === "fp8"), name);
        assertEquals(saved.config.quantization?.format ?? "bf16", saveAs);
        // Weights and activations rounded to 8 bits otherwise than while the model ran.
        assertAlmostEquals(await lossOf(saved), loss, 0.1, `${name} as ${saveAs}`);
      }
    }
    const file = await SafetensorsFile.open(join(folder, "2", "model.safetensors"));
    using opened = file;
    const weight = "model.layers.0.self_attn.o_proj.weight";
    assertEquals(opened.tensors.get(weight)?.dtype, "I8");
    assertEquals(opened.tensors.get(weight)?.shape, [52, 60]);
    assertEquals(opened.tensors.get(`${weight}_scale`)?.shape, [52, 1]);
    assert(!(await opened.read(weight)).includes(0x80), "no code is -128");
    assertEquals(opened.tensors.get("model.norm.weight")?.dtype, "BF16");
    assertEquals(opened.tensors.get("lm_head.weight_scale"), undefined);
  }));

/** The weights of a model's linear layers as numbers. */
async function weightsOf(model: Model): Promise<Float32Array<ArrayBuffer>> {
  const parts: number[] = [];
  for (const linear of (await model.network()).linears()) {
    for (const index of linear.spec.parts.keys()) parts.push(...await linear.readWeight(index));
  }
  return Float32Array.from(parts);
}

Deno.test("an adapter below a step of the codes that it was trained beside arrives on average", () =>
  withFolder(async (folder) => {
    await writeModel(folder);
    await using _ = expectAllFreed();
    for (const format of ["int8", "fp8"] as const) {
      const base = join(folder, format);
      {
        using model = await Model.load(join(folder, "model"), { device });
        await model.save(base, { saveAs: format });
      }
      using model = await Model.load(base, { device });
      await model.use(frozen("f32"));
      const before = await weightsOf(model);
      // Steps of int8 are about 0.4 / 127.
      await model.use(lora({ adapter: await tinyAdapter(model, 5e-4) }));
      const wanted = await weightsOf(model);
      const outputs = [0, 0, 1].map((seed, i) => ({ seed, path: join(folder, `${format} ${i}`) }));
      for (const { seed, path } of outputs) await model.save(path, { saveAs: format, seed });
      const files = outputs.map(({ path }) => Deno.readFileSync(join(path, "model.safetensors")));
      assertEquals(files[0], files[1]);
      assert(files[0].some((byte, i) => byte !== files[2][i]), "another seed rounds otherwise");
      using saved = await Model.load(outputs[0].path, { device });
      await saved.use(frozen("f32"));
      const after = await weightsOf(saved);
      let [arrived, learned] = [0, 0];
      for (let i = 0; i < before.length; i++) {
        const change = wanted[i] - before[i];
        arrived += change * (after[i] - before[i]);
        learned += change ** 2;
      }
      assertAlmostEquals(arrived / learned, 1, 0.2, format);
    }
  }));

Deno.test("what cannot be saved is said before anything is written", () =>
  withSaved(async (folder, save) => {
    const cases: [Method, SaveOptions, string][] = [
      [falqon({ rank: 3 }), { rotated: true }, "Cannot save the model rotated"],
      [frozenInt8(), { rotated: true, saveAs: "fp8" }, "rotated"],
      [lora({ rank: 3 }), { rotated: true }, "rotated"],
      [
        lora({ rank: 3 }),
        { saveAs: "int4" as "int8" },
        'saveAs "int4": give one of fp8, int8, bf16',
      ],
      [lora({ rank: 3 }), { saveAs: "int8", seed: -1 }, "seed -1"],
      [frozen("nf4"), {}, "Cannot save a model in NF4"],
    ];
    for (const [method, options, message] of cases) {
      await assertRejects(() => save(method, options), OptionError, message);
    }
    assertEquals([...Deno.readDirSync(folder)].map(({ name }) => name), ["model"]);
  }));

Deno.test("the matrices of rotations are in the file, one per block size", () =>
  withSaved(async (folder, save) => {
    const { saved } = await save(frozenInt8(), { rotated: true });
    saved[Symbol.dispose]();
    using file = await SafetensorsFile.open(join(folder, "0", "model.safetensors"));
    const matrices = [...file.tensors.keys()].filter((name) => name.includes("_input"));
    assertEquals(matrices, ["model.layers.0.self_attn.q_proj.R4_input.weight"]);
    const values = toFloat32(await file.read(matrices[0]), "F32");
    assertEquals([...values], [1, 1, 1, 1, 1, -1, 1, -1, 1, 1, -1, -1, 1, -1, -1, 1]);
  }));
