/** `merge`, and what of the original folder travels with what is written. */

import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { join } from "node:path";
import {
  falqon,
  frozenFp8,
  lora,
  mergeModel,
  Model,
  OptionError,
  readPeftAdapter,
} from "../../mod.ts";
import { frozen } from "../../src/methods/frozen.ts";
import { fromFloat32, toFloat32 } from "../../src/io/dtype.ts";
import { SafetensorsFile } from "../../src/io/safetensors.ts";
import { Weights } from "../../src/io/weights.ts";
import { device } from "../support/device.ts";
import { copyFamily, FAMILY_MODELS, WRAPPED_MODELS } from "../support/families.ts";
import { golden } from "../support/golden.ts";
import { withFolder } from "../support/io.ts";
import { runCommand } from "../support/terminal.ts";
import { writeTinyModel } from "../support/tiny_model.ts";

const llama3 = `${golden}llama3`;
const adapterFolder = `${golden}adapters/dora`;
const ids = Array.from({ length: 25 }, (_, i) => 3 + (i * 7) % 20);
const sequence = { inputIds: ids, labels: ids };

async function lossOf(folder: string, method = lora({ rank: 1 })): Promise<number> {
  using model = await Model.load(folder, { device, onNotice: () => {} });
  await model.use(method);
  return await model.loss(sequence);
}

/** Files that a folder may have beside those of the tests' models. */
const TRAVELLING = [
  ...[
    "tokenizer.model",
    "vocab.json",
    "merges.txt",
    "added_tokens.json",
    "special_tokens_map.json",
  ],
  ...["chat_template.json", "chat_template.jinja", "preprocessor_config.json"],
  ...["processor_config.json", "video_preprocessor_config.json", "LICENSE", "NOTICE.txt"],
];
const STAYING = ["README.md", "training_log.jsonl", "pytorch_model.bin", "optimizer.pt"];

async function copyModel(folder: string): Promise<string> {
  await Deno.mkdir(join(folder, "additional_chat_templates"), { recursive: true });
  for (
    const name of ["config.json", "generation_config.json", "model.safetensors", "tokenizer.json"]
  ) {
    await Deno.copyFile(join(llama3, name), join(folder, name));
  }
  for (const name of [...TRAVELLING, ...STAYING, "additional_chat_templates/tool.jinja"]) {
    await Deno.writeTextFile(join(folder, name), name.endsWith(".json") ? "{}" : name);
  }
  return folder;
}

Deno.test("every file that others need travels, by merging and by saving", () =>
  withFolder(async (folder) => {
    const source = await copyModel(join(folder, "source"));
    const adapter = await readPeftAdapter(adapterFolder);
    await mergeModel(source, join(folder, "0"), { adapter });
    using model = await Model.load(source, { device });
    await model.use(falqon({ rank: 4 }));
    await model.save(join(folder, "1"));
    await model.save(join(folder, "1"), { overwrite: true });
    for (const out of ["0", "1"]) {
      const names = [...Deno.readDirSync(join(folder, out))].map(({ name }) => name).sort();
      assertEquals(
        names,
        [
          ...["config.json", "generation_config.json", "model.safetensors", "tokenizer.json"],
          ...TRAVELLING,
          "additional_chat_templates",
        ].sort(),
      );
      const template = join(folder, out, "additional_chat_templates/tool.jinja");
      assertEquals(await Deno.readTextFile(template), "additional_chat_templates/tool.jinja");
    }
  }));

Deno.test("a merged model has the adapted loss in each format, and is sharded as the original", () =>
  withFolder(async (folder) => {
    const adapter = await readPeftAdapter(adapterFolder);
    const want = await lossOf(llama3, lora({ adapter }));
    const tolerances = { f32: 1e-5, bf16: 0.02, fp8: 0.05, int8: 0.05 } as const;
    for (const [saveAs, tolerance] of Object.entries(tolerances)) {
      const out = join(folder, saveAs);
      let last = 0;
      await mergeModel(llama3, out, {
        ...{ adapter, saveAs: saveAs as keyof typeof tolerances },
        onProgress: (done, total) => last = Math.max(last, (done + 1) / total),
      });
      assertEquals(last, 1);
      assertAlmostEquals(await lossOf(out), want, tolerance, saveAs);
      using model = await Model.load(out, { device });
      const { quantization } = model.config;
      assertEquals(
        quantization?.format,
        saveAs.startsWith("f") && saveAs !== "fp8" || saveAs === "bf16" ? undefined : saveAs,
      );
    }
    // In shards of a size; merging those again gives shards of that size again.
    await mergeModel(llama3, join(folder, "shards"), { saveAs: "f32", shardBytes: 30_000 });
    await mergeModel(join(folder, "shards"), join(folder, "again"), { adapter, saveAs: "f32" });
    for (const out of ["shards", "again"]) {
      const names = [...Deno.readDirSync(join(folder, out))].map(({ name }) => name);
      const shards = names.filter((name) => /^model-0000\d-of-0000\d\.safetensors$/.test(name));
      assert(shards.length >= 3 && !names.includes("model.safetensors"), `${names}`);
      using weights = await Weights.open(join(folder, out));
      assert(weights.shardBytes! <= 30_000);
    }
    assertAlmostEquals(await lossOf(join(folder, "again")), want, 1e-5);
    // Over a sharded model: nothing of it is left.
    await mergeModel(llama3, join(folder, "again"), { saveAs: "f32", overwrite: true });
    assertAlmostEquals(await lossOf(join(folder, "again")), await lossOf(llama3), 1e-6);
    const left = [...Deno.readDirSync(join(folder, "again"))].map(({ name }) => name);
    assertEquals(left.filter((name) => name.startsWith("model")), ["model.safetensors"]);
  }));

Deno.test("a FALQON folder becomes BF16 or F32, also one with a scale per tensor, which has one per row in the file", () =>
  withFolder(async (folder) => {
    await Deno.mkdir(join(folder, "model"));
    // Of weights that BF16 holds exactly.
    const edit = (_: string, values: Float32Array) =>
      values.set(toFloat32(fromFloat32(Float32Array.from(values), "BF16"), "BF16"));
    await writeTinyModel(join(folder, "model"), { edit });
    for (const scaleGranularity of ["row", "tensor"] as const) {
      for (const format of ["fp8", "int8"] as const) {
        const out = join(folder, `${format}_${scaleGranularity}`);
        using model = await Model.load(join(folder, "model"), { device });
        const frozen = frozenFp8(scaleGranularity);
        const int8 = falqon({ rank: 4, format, scaleGranularity, rotation: false });
        await model.use(format === "fp8" ? frozen : int8);
        const trained = await model.loss(sequence);
        await model.save(out);
        using file = await SafetensorsFile.open(join(out, "model.safetensors"));
        const weight = "model.layers.0.mlp.up_proj.weight";
        assertEquals(file.tensors.get(`${weight}_scale`)?.shape, [44, 1]);
        const { quantization_config: block } = JSON.parse(
          await Deno.readTextFile(join(out, "config.json")),
        );
        const { weights, input_activations: inputs } = block.config_groups.group_0;
        assertEquals(weights.strategy, "channel");
        assertEquals(inputs.strategy, scaleGranularity === "row" ? "token" : "tensor");
        if (format === "fp8") {
          const again = frozenFp8(scaleGranularity, "row");
          assertAlmostEquals(await lossOf(out, again), trained, 1e-6, scaleGranularity);
          // And so the command line loads it.
          await Deno.writeTextFile(join(folder, "rows.jsonl"), JSON.stringify({ input_ids: ids }));
          const evaluated = await runCommand(`eval --model ${out} --data ${folder}/rows.jsonl`);
          assertEquals(evaluated.code, 0, evaluated.err);
        }
        const exact = await lossOf(out);
        for (const saveAs of ["bf16", "f32"] as const) {
          const merged = join(folder, `${saveAs}_${format}_${scaleGranularity}`);
          await mergeModel(out, merged, { saveAs });
          assertAlmostEquals(await lossOf(merged), exact, saveAs === "f32" ? 1e-6 : 0.02);
          const config = JSON.parse(await Deno.readTextFile(join(merged, "config.json")));
          assertEquals(config.quantization_config, undefined);
        }
      }
    }
  }));

Deno.test("merge says the losses before and after, finds an adapter's model, and refuses what it cannot do", () =>
  withFolder(async (folder) => {
    await Deno.writeTextFile(join(folder, "rows.jsonl"), JSON.stringify({ input_ids: ids }));
    const merge = `merge ${llama3} --adapter ${adapterFolder}`;
    const { code, out, err } = await runCommand(
      `${merge} --output ${folder}/out --save-as f32 --data ${folder}/rows.jsonl`,
    );
    assertEquals(code, 0, err);
    const [, before, after] = /loss: ([\d.]+) before, ([\d.]+) after/.exec(out)!;
    assertAlmostEquals(Number(before), Number(after), 1.1e-4);
    assertStringIncludes(out, `model: ${folder}/out`);

    await Deno.mkdir(join(folder, "adapter"));
    for (const { name } of Deno.readDirSync(adapterFolder)) {
      await Deno.copyFile(join(adapterFolder, name), join(folder, "adapter", name));
    }
    const config = join(folder, "adapter/adapter_config.json");
    const settings = JSON.parse(await Deno.readTextFile(config));
    const found = JSON.stringify({ ...settings, base_model_name_or_path: llama3 });
    await Deno.writeTextFile(config, found);
    const own = await runCommand(`merge ${folder}/adapter --output ${folder}/own --save-as f32`);
    assertEquals(own.code, 0, own.err);
    const read = (path: string) => Deno.readFile(join(folder, path, "model.safetensors"));
    assertEquals(await read("own"), await read("out"));

    const cases: [string, string][] = [
      [`merge ${llama3} --output ${folder}/x`, "as it is no adapter: give one as --adapter"],
      [`merge ${llama3} --save-as bf16`, "--output-dir is missing"],
      [`${merge} --output ${folder}/out`, "as it holds a model"],
      [`merge ${folder}/out --save-as bf16 --output ${folder}/out --overwrite`, "is read from it"],
      [`merge --output ${folder}/x`, "Cannot merge without MODEL"],
    ];
    for (const [line, message] of cases) {
      const { code, err } = await runCommand(line);
      assert(code > 0 && err.includes(message), `${line}: ${err}`);
    }
    const stop = AbortSignal.abort(new OptionError("enough"));
    await assertRejects(
      () => mergeModel(llama3, join(folder, "x"), { saveAs: "bf16", signal: stop }),
      OptionError,
      "enough",
    );
    assertEquals(await Deno.stat(join(folder, "x/config.json")).catch(() => null), null);
  }));

for (const family of [...FAMILY_MODELS, ...WRAPPED_MODELS]) {
  family.test(`${family.name}: a merged model in F32 is the same model`, () =>
    withFolder(async (folder) => {
      await Deno.mkdir(join(folder, "model"));
      await copyFamily(family, join(folder, "model"));
      await mergeModel(join(folder, "model"), join(folder, "out"), { saveAs: "f32" });
      const plain = frozen();
      assertAlmostEquals(
        await lossOf(join(folder, "out"), plain),
        await lossOf(join(folder, "model"), plain),
        1e-6,
      );
    }));
}
