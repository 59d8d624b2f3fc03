import { assert, assertEquals, assertMatch } from "@std/assert";
import { join } from "node:path";
import { requestDevice } from "../../src/gpu/device.ts";
import { lora } from "../../src/methods/lora/lora.ts";
import { readModelConfig } from "../../src/model/config.ts";
import { planMemory } from "../../src/train/memory.ts";
import { resolveOptions } from "../../src/train/options.ts";
import { writeDeltaNetModel } from "../support/delta_net_model.ts";
import { withFolder } from "../support/io.ts";
import { runCommand } from "../support/terminal.ts";
import { writeTinyModel } from "../support/tiny_model.ts";

Deno.test("inspect counts parameters, dtypes and memory", () =>
  withFolder(async (folder) => {
    await writeTinyModel(folder);
    const flags = "--method lora --rank 4 --batch-size 2 --sequence-length 16";
    const { code, out, err } = await runCommand(`inspect ${folder} ${flags} --json`);
    assertEquals(code, 0, err);
    const { parameters, files, training, memory, tooLarge, config } = JSON.parse(out);
    const total = Object.values<number>(parameters).reduce((a, b) => a + b, 0);
    // Two layers of q [60,52], k and v [20,52], o [52,60]; gate, up [44,52], down [52,44]; norms of 52.
    assertEquals(parameters, {
      embedding: 269 * 52,
      attention: 2 * (60 + 20 + 20 + 60) * 52,
      mlp: 2 * 3 * 44 * 52,
      norms: 5 * 52,
      lm_head: 269 * 52,
    });
    assertEquals(files, { F32: { tensors: 21, elements: total, bytes: 4 * total } });
    assertEquals(training, { method: "lora", batchSize: 2, sequenceLength: 16 });
    assert(memory.weights >= 4 * total && memory.total > memory.weights + memory.kept);
    assertEquals([config.numLayers, tooLarge], [2, []]);

    const text = await runCommand(`inspect ${folder} ${flags}`);
    assertMatch(text.out, /parameters\n {2}embedding +13,988\n[^]+\n {2}total +58,604\n/);
    assertMatch(text.out, /quantisation\n {2}none\nmemory to train by lora, 2 rows of 16 tokens\n/);
    assertMatch(text.out, /\n {2}logits +[\d.]+ KiB\n[^]+\n {2}total +[\d.]+ KiB\n$/);

    await Deno.remove(join(folder, "model.safetensors"));
    const huge = await runCommand(`inspect ${folder} --rank 4 --batch-size 200000`);
    assertMatch(huge.out, /files\n {2}no weights\n/);
    assertMatch(
      huge.out,
      /warning: ".+" takes .+ GiB, the largest of \d+ such, and this GPU binds/,
    );
  }));

Deno.test("inspect says how many layers are delta nets, and counts their parameters", () =>
  withFolder(async (folder) => {
    await writeDeltaNetModel(folder);
    const flags = "--method lora --rank 4 --batch-size 2 --sequence-length 16";
    const { code, out, err } = await runCommand(`inspect ${folder} ${flags}`);
    assertEquals(code, 0, err);
    assertMatch(out, /\n {2}layers +3, 2 of them delta nets\n/);
    // q, k, v [94,52] with a convolution of four, z [54,52], a and b [6,52] with their constants, a norm of 9, o [52,54].
    const parameters = 2 * ((94 + 54 + 12) * 52 + 94 * 4 + 2 * 6 + 9 + 52 * 54);
    assertMatch(out, new RegExp(`\\n {2}delta nets +${parameters.toLocaleString("en")}\\n`));
  }));

Deno.test("inspect counts a head of its own although config.json ties it, and refuses weights of another model", () =>
  withFolder(async (folder) => {
    await writeTinyModel(folder);
    const flags = "--method full --batch-size 2 --sequence-length 16 --json";
    const untied = JSON.parse((await runCommand(`inspect ${folder} ${flags}`)).out);
    const path = join(folder, "config.json");
    const config = JSON.parse(await Deno.readTextFile(path));
    await Deno.writeTextFile(path, JSON.stringify({ ...config, tie_word_embeddings: true }));
    const { code, out, err } = await runCommand(`inspect ${folder} ${flags}`);
    assertEquals(code, 0, err);
    assertEquals(JSON.parse(out), untied);

    await Deno.writeTextFile(path, JSON.stringify({ ...config, model_type: "qwen2" }));
    const other = await runCommand(`inspect ${folder} ${flags}`);
    assertEquals(other.code, 1);
    assertMatch(other.err, /has no tensor "model.layers.0.self_attn.q_proj.bias"|bias/);

    await Deno.writeTextFile(path, JSON.stringify({ ...config, intermediate_size: 48 }));
    const wider = await runCommand(`inspect ${folder} ${flags}`);
    assertEquals(wider.code, 1);
    assertMatch(
      wider.err,
      /gate_proj.weight" as its shape is \[44,52\]: config.json asks for \[48,52\]/,
    );
  }));

Deno.test("inspect plans for the GPU that it is given", () =>
  withFolder(async (folder) => {
    await writeTinyModel(folder);
    const flags = "--method lora --batch-size 2 --sequence-length 16 --json";
    const { code, out, err } = await runCommand(`inspect ${folder} ${flags} --provider native`);
    assertEquals(code, 0, err);
    const { memory, bufferLimit } = JSON.parse(out);
    using device = await requestDevice();
    const { maxBufferSize, maxStorageBufferBindingSize } = device.limits;
    assertEquals(bufferLimit, Math.min(maxBufferSize, maxStorageBufferBindingSize));
    const config = await readModelConfig(folder);
    const plan = await planMemory({
      ...resolveOptions({ batchSize: 2, sequenceLength: 16, model: { config } }),
      config,
      method: lora(),
      device,
    });
    assertEquals(memory.peak, plan.peak);
  }));

Deno.test("inspect tells what helps where this GPU does not bind a buffer, and that large vocabularies need nothing", () =>
  withFolder(async (folder) => {
    const { limits } = (await navigator.gpu.requestAdapter())!;
    const limit = Math.min(limits.maxBufferSize, limits.maxStorageBufferBindingSize);
    /** The warnings about a model whose rows take 16 KiB. */
    const warnings = async (sizes: Record<string, number>, flags: string) => {
      await writeTinyModel(folder);
      const path = join(folder, "config.json");
      const config = JSON.parse(await Deno.readTextFile(path));
      await Deno.writeTextFile(path, JSON.stringify({ ...config, hidden_size: 4096, ...sizes }));
      await Deno.remove(join(folder, "model.safetensors"));
      const shape = "--batch-size 1 --sequence-length 8";
      const { out } = await runCommand(`inspect ${folder} ${shape} ${flags}`);
      return out.split("\n").filter((line) => line.startsWith("warning"));
    };
    const vocab_size = Math.ceil(2.5 * limit / 16384);
    assertEquals(await warnings({ vocab_size }, "--method lora"), []);
    assertEquals(await warnings({ vocab_size }, "--method full"), []);

    const halves = { intermediate_size: Math.ceil(1.5 * limit / 32768) };
    const [lora] = await warnings(halves, "--method lora");
    assertMatch(lora, /"layers.0.gate_up weight" .+: store the weights in f16 \(--base f16\), or /);
    assertEquals(await warnings(halves, "--method lora --base f16"), []);
    const [full] = await warnings(halves, "--method full");
    assertMatch(full, /\(layers.0.gate_up\)" .+: train an adapter over weights in f16 \(/);
    const [tooLarge] = await warnings(
      { intermediate_size: Math.ceil(2.5 * limit / 32768) },
      "--method lora",
    );
    assertMatch(tooLarge, /: take a smaller model, or a GPU that binds more$/);
  }));

Deno.test("devices shows the GPU, its features and limits", async () => {
  const { code, out, err } = await runCommand("devices");
  assertEquals(code, 0, err);
  assertMatch(
    out,
    /^.+\n {2}provider: native\n {2}f16: (yes|no)\n {2}subgroup matrices: none\n {2}features in use: .*\n {2}limits:\n/,
  );
  assertMatch(out, /maxStorageBufferBindingSize +[\d.]+ (MiB|GiB)\n/);
});

Deno.test("the model of the example works with the default flags, though no layer of it takes rank 64", async () => {
  const model = new URL("../../examples/tiny/model", import.meta.url).pathname;
  const { code, out, err } = await runCommand(`inspect ${model}`);
  assertEquals(code, 0, err);
  assertMatch(out, /memory to train by falqon, 16 rows of/);
  const refused = await runCommand(`inspect ${model} --rank 1000`);
  assertMatch(
    refused.err,
    /^error: Cannot adapt a weight of .+ with rank 1000: it has only \d+ directions/,
  );
});
