/** Whole models with biases: saved in every form, opened again, with adapters of PEFT's form. */

import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { join } from "node:path";
import {
  falqon,
  fp8Lora,
  frozenFp8,
  frozenInt8,
  full,
  int8Lora,
  lora,
  type Method,
  Model,
  qlora,
  readPeftAdapter,
} from "../../mod.ts";
import { fromFloat32, toFloat32 } from "../../src/io/dtype.ts";
import { StepState } from "../../src/gpu/step_state.ts";
import { submitOnce } from "../../src/gpu/submit_once.ts";
import { SafetensorsFile } from "../../src/io/safetensors.ts";
import type { SaveOptions } from "../../src/inference/save_model.ts";
import { frozen } from "../../src/methods/frozen.ts";
import { biasedParts, biasName } from "../../src/layers/bias.ts";
import { sequenceArrays, writeTokens } from "../../src/model/token_buffers.ts";
import { relativeError } from "../oracle/compare.ts";
import { matmulNT } from "../oracle/matmul.ts";
import { device, expectAllFreed } from "../support/device.ts";
import { withFolder } from "../support/io.ts";
import { randomGenerator, randomValues } from "../support/random.ts";
import { BIASES, writeTinyModel } from "../support/tiny_model.ts";

const ids = Array.from({ length: 40 }, (_, i) => 3 + (i * i * 7 + 11 * i) % 250);
const sequence = { inputIds: ids, labels: ids };

const bf16 = (values: Float32Array<ArrayBuffer>) => toFloat32(fromFloat32(values, "BF16"), "BF16");

/** Runs a test on a tiny model with biases, of values that BF16 holds exactly. */
function withModel(test: (folder: string, path: string) => Promise<void>): Promise<void> {
  return withFolder(async (folder) => {
    const path = join(folder, "model");
    await Deno.mkdir(path);
    const edit = (_: string, values: Float32Array) => values.set(bf16(Float32Array.from(values)));
    await writeTinyModel(path, { config: BIASES, edit });
    await using _ = expectAllFreed();
    await test(folder, path);
  });
}

/** Every bias of a model as it is on the GPU. */
async function biasesOf(model: Model): Promise<Map<string, Float32Array>> {
  const network = await model.network();
  const names = network.linears().flatMap(({ spec }) => biasedParts(spec).map(biasName));
  const biases = new Map<string, Float32Array>();
  for (const name of names) biases.set(name, await network.readParameter(name));
  return biases;
}

Deno.test("biases are saved with every whole model, unquantised, and load as they were", () =>
  withModel(async (folder, path) => {
    const q = "model.layers.0.self_attn.q_proj.bias";
    const cases: [Method, SaveOptions, Method, dtype: string, tolerance: number][] = [
      [frozen(), {}, frozen(), "F32", 0],
      [frozen("f16"), {}, frozen("f16"), "F16", 0],
      [full(), {}, frozen(), "F32", 1e-6],
      // Scales come back as reciprocals of reciprocals, so a value may be rounded the other way.
      [falqon({ rank: 3 }), {}, frozenFp8(), "BF16", 1e-3],
      [falqon({ rank: 3, format: "int8" }), { rotated: true }, frozenInt8(), "BF16", 1e-3],
      // Rotated back, and rounded anew.
      [falqon({ rank: 3, format: "int8" }), {}, frozenInt8(false), "BF16", 0.1],
      [frozen("nf4"), { saveAs: "bf16" }, frozen("nf4"), "BF16", 0.1],
      [int8Lora({ rank: 3 }), { saveAs: "int8" }, frozenInt8(false), "BF16", 0.1],
      [lora({ rank: 3 }), { saveAs: "fp8" }, frozenFp8(), "BF16", 0.1],
    ];
    for (const [index, [method, options, again, dtype, tolerance]] of cases.entries()) {
      using model = await Model.load(path, { device });
      await model.use(method);
      const loss = await model.loss(sequence);
      const biases = await biasesOf(model);
      assertEquals(biases.size, 2 * 7);
      assert(biases.get(q)!.some((value) => Math.abs(value) > 0.4));
      const output = join(folder, `${index}`);
      await model.save(output, options);
      using file = await SafetensorsFile.open(join(output, "model.safetensors"));
      assertEquals(file.tensors.get(q)?.dtype, dtype);
      assertEquals(file.tensors.get(q)?.shape, [60]);
      using saved = await Model.load(output, { device });
      await saved.use(again);
      assertEquals(await biasesOf(saved), biases);
      assertAlmostEquals(await saved.loss(sequence), loss, tolerance, `case ${index}`);
    }
  }));

Deno.test("an adapter is saved without the biases of its model, and loads beside them", () =>
  withModel(async (folder, path) => {
    for (const [index, method] of [lora, qlora, fp8Lora, int8Lora].entries()) {
      const output = join(folder, `adapter ${index}`);
      using model = await Model.load(path, { device });
      await model.use(method({ rank: 3 }));
      for (
        const [i, { name, rows, cols, value }] of (await model.network()).parameters.list.entries()
      ) {
        if (name.endsWith("lora_B")) device.writeMatrix(value, randomValues(rows * cols, i, 0.2));
      }
      await (await model.network()).layers.refresh!();
      const loss = await model.loss(sequence);
      await model.save(output);
      const config = JSON.parse(await Deno.readTextFile(join(output, "adapter_config.json")));
      assertEquals(config.bias, "none");
      using file = await SafetensorsFile.open(join(output, "adapter_model.safetensors"));
      assert([...file.tensors.keys()].every((name) => /\.lora_[AB]\.weight$/.test(name)));

      using again = await Model.load(path, { device });
      await again.use(method({ adapter: await readPeftAdapter(output) }));
      assertAlmostEquals(await again.loss(sequence), loss, 1e-6);
      assertEquals(await biasesOf(again), await biasesOf(model));
    }
  }));

Deno.test("adapters beside biases have the gradients that those of the weights give", () =>
  withModel(async (_, path) => {
    using model = await Model.load(path, { device });
    // B is zero: the merged weights are the model's own.
    const { gradients } = await model.lossAndGradients(sequence);
    const [rank, alpha] = [3, 6];
    const network = await model.adapt(lora({ rank, alpha }), {
      random: randomGenerator(1),
      gradients: true,
    });
    network.reserve({ tokens: ids.length, training: true, checkpointing: false });
    writeTokens(device, network.tokens, sequenceArrays(ids, ids));
    using state = new StepState(device, { beta1: 0, beta2: 0 });
    state.begin({ step: 1, learningRate: 0, targetCount: ids.length - 1 });
    await submitOnce(device, (program) => network.recordTraining(program, ids.length, state));
    const adapters = network.layers.saved();
    assert(adapters.kind === "adapter");
    const byName = new Map(network.parameters.list.map((each) => [each.name, each.gradient]));
    for (const [module, { A, inFeatures, outFeatures }] of await adapters.tensors()) {
      const weight = Float64Array.from(gradients.get(`${module}.weight`)!);
      const product = matmulNT(weight, Float64Array.from(A), outFeatures, rank, inFeatures);
      const want = product.map((value) => alpha / rank * value);
      const got = await device.readMatrix(byName.get(`${module}.lora_B`)!);
      const error = relativeError(got, want);
      assert(error < 1e-5, `${module}: ${error}`);
    }
  }));

Deno.test("a model with biases in its files and none in its config, or the other way, is refused by name", () =>
  withFolder(async (folder) => {
    await writeTinyModel(folder, { config: { attention_bias: true } });
    const edit = async (change: Record<string, unknown>) => {
      const path = join(folder, "config.json");
      const config = JSON.parse(await Deno.readTextFile(path));
      await Deno.writeTextFile(path, JSON.stringify({ ...config, ...change }));
    };
    const refused = async () => {
      try {
        using _ = await Model.load(folder, { device });
      } catch (error) {
        return (error as Error).message;
      }
    };
    assertEquals(await refused(), undefined);
    await edit({ attention_bias: false });
    assert((await refused())?.includes('"model.layers.0.self_attn.q_proj.bias"'));
    await edit({ attention_bias: true, mlp_bias: true });
    assert((await refused())?.includes('"model.layers.0.mlp.gate_proj.bias"'));
  }));
