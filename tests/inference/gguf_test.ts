/** GGUF files, read back by a reader of their own; scripts/llama_cpp.ts runs llama.cpp itself. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  exportGguf,
  lora,
  mergeModel,
  Model,
  ModelError,
  OptionError,
  readPeftAdapter,
} from "../../mod.ts";
import { toFloat32 } from "../../src/io/dtype.ts";
import { encodeElements } from "../../src/io/gguf/encode.ts";
import { Weights } from "../../src/io/weights.ts";
import { type GgufFile, readGguf } from "../oracle/gguf.ts";
import { device } from "../support/device.ts";
import { golden } from "../support/golden.ts";
import { withFolder } from "../support/io.ts";
import { runCommand } from "../support/terminal.ts";
import { GEMMA4, writeTinyModel } from "../support/tiny_model.ts";

/** Rows of 64 and of 96 values, which blocks of 32 fit. */
const SIZES = { hidden_size: 64, num_attention_heads: 4, head_dim: 16, intermediate_size: 96 };
const quiet = { onNotice: () => {} };

async function read(path: string) {
  return readGguf(await Deno.readFile(path));
}

async function tensor(folder: string, name: string): Promise<Float32Array> {
  using weights = await Weights.open(folder);
  return toFloat32(await weights.read(name), weights.info(name).dtype);
}

function expectClose(a: GgufFile, b: GgufFile): void {
  assertEquals([...a.tensors.keys()], [...b.tensors.keys()]);
  for (const [name, { values }] of a.tensors) {
    const other = b.tensors.get(name)!.values;
    values.forEach((value, i) =>
      assert(Math.abs(value - other[i]) <= 1e-5 * Math.abs(value) + 1e-6, name)
    );
  }
}

/** The golden Llama 3 with a tokenizer that a GGUF file can tell. */
async function llama3With(folder: string): Promise<string> {
  await Deno.mkdir(folder);
  await writeTinyModel(folder);
  for (const name of ["config.json", "model.safetensors"]) {
    await Deno.copyFile(`${golden}llama3/${name}`, `${folder}/${name}`);
  }
  const { vocab_size } = JSON.parse(await Deno.readTextFile(`${folder}/config.json`));
  const json = JSON.parse(await Deno.readTextFile(`${folder}/tokenizer.json`));
  const kept = Object.entries<number>(json.model.vocab).filter(([, id]) => id < vocab_size);
  json.model.vocab = Object.fromEntries(kept);
  await Deno.writeTextFile(`${folder}/tokenizer.json`, JSON.stringify(json));
  return folder;
}

Deno.test("a file has the tensors, those of q and k with their heads in pairs", () =>
  withFolder(async (folder) => {
    await writeTinyModel(folder, { config: { attention_bias: true } });
    const path = `${folder}/model.gguf`;
    await exportGguf(folder, path, { type: "f32", ...quiet });
    const { meta, tensors } = await read(path);
    assertEquals(meta.get("general.architecture"), "llama");
    assertEquals(meta.get("llama.attention.key_length"), 10);
    assertEquals(meta.get("tokenizer.ggml.model"), "llama");
    assertEquals(meta.get("tokenizer.ggml.add_bos_token"), true);
    assertEquals(meta.get("tokenizer.ggml.add_space_prefix"), false);
    const kinds = meta.get("tokenizer.ggml.token_type") as number[];
    assertEquals([kinds.length, kinds[0], kinds[1], kinds[3], kinds[259], kinds[268]], [
      269,
      2,
      3,
      6,
      1,
      5,
    ]);
    const same = {
      attn_v: "self_attn.v_proj",
      ffn_down: "mlp.down_proj",
      attn_output: "self_attn.o_proj",
    };
    for (const [name, module] of Object.entries(same)) {
      const stored = await tensor(folder, `model.layers.1.${module}.weight`);
      assertEquals([...tensors.get(`blk.1.${name}.weight`)!.values], [...stored]);
    }
    for (const [suffix, cols] of [["weight", 52], ["bias", 1]] as const) {
      const q = await tensor(folder, `model.layers.0.self_attn.q_proj.${suffix}`);
      const found = tensors.get(`blk.0.attn_q.${suffix}`)!.values;
      for (let row = 0; row < 60; row++) {
        const [head, c] = [Math.floor(row / 10), row % 10];
        const from = head * 10 + (c % 2) * 5 + Math.floor(c / 2);
        assertEquals(
          [...found.subarray(row * cols, (row + 1) * cols)],
          [...q.subarray(from * cols, (from + 1) * cols)],
        );
      }
    }
    assert(tensors.has("output.weight"));
  }));

Deno.test("qwen3 keeps the order of its rows, has norms of heads and no head where it is tied", () =>
  withFolder(async (folder) => {
    await writeTinyModel(folder, { config: { model_type: "qwen3", tie_word_embeddings: true } });
    await exportGguf(folder, `${folder}/model.gguf`, { type: "f32", ...quiet });
    const { tensors } = await read(`${folder}/model.gguf`);
    const q = await tensor(folder, "model.layers.0.self_attn.q_proj.weight");
    assertEquals([...tensors.get("blk.0.attn_q.weight")!.values], [...q]);
    assert(tensors.has("blk.1.attn_k_norm.weight") && !tensors.has("output.weight"));
  }));

Deno.test("every type has its error, and rows that blocks do not fit are F16", () =>
  withFolder(async (folder) => {
    await writeTinyModel(folder, { config: { ...SIZES, intermediate_size: 44 } });
    const stored = await tensor(folder, "model.layers.0.mlp.gate_proj.weight");
    const most = Math.max(...stored.map(Math.abs));
    const bounds = {
      f16: 2 ** -11,
      bf16: 2 ** -8,
      q8_0: 0.5 / 127 + 2 ** -10,
      q4_0: 1 / 8 + 2 ** -10,
    };
    const ids = { f16: 1, bf16: 30, q8_0: 8, q4_0: 2 };
    for (const type of ["f16", "bf16", "q8_0", "q4_0"] as const) {
      const path = `${folder}/${type}.gguf`;
      await exportGguf(folder, path, { type, ...quiet });
      const { tensors } = await read(path);
      const found = tensors.get("blk.0.ffn_gate.weight")!;
      assertEquals(found.type, ids[type]);
      found.values.forEach((value, i) =>
        assert(Math.abs(value - stored[i]) <= bounds[type] * most)
      );
      assertEquals(tensors.get("token_embd.weight")!.type, type === "q4_0" ? 8 : ids[type]);
      assertEquals(
        tensors.get("blk.0.ffn_down.weight")!.type,
        type.startsWith("q") ? 1 : ids[type],
      );
      assertEquals(tensors.get("output_norm.weight")!.type, 0);
    }
  }));

Deno.test("blocks have the bytes of llama.cpp's quantiser", () => {
  const values = new Float32Array(32);
  values.set([-8, 7, 3.5, -3.5, 0.49, 0.5]);
  values[16] = 1;
  // Scale 1 = f16 0x3c00: codes are x + 8.5 cut off; 7 + 8.5 is 15, and 16 would be 15 too.
  const q4 = encodeElements(values, "Q4_0", "t");
  assertEquals([...q4.subarray(0, 8)], [0, 0x3c, 0x90, 0x8f, 0x8c, 0x85, 0x88, 0x89]);
  // Scale 127 / 127 = 1: halves go away from zero.
  values.fill(0);
  values.set([127, -0.5, 0.5, -1.5, 2.49]);
  const q8 = encodeElements(values, "Q8_0", "t");
  assertEquals([...new Int8Array(q8.buffer).subarray(2, 7)], [127, -1, 1, -2, 2]);
  // Zero / −8 has a sign there, too.
  assertEquals([...encodeElements(new Float32Array(32), "Q4_0", "t")], [
    0,
    0x80,
    ...Array(16).fill(0x88),
  ]);
});

Deno.test("codes are decoded, adapters merged, and a trained model is exported from the GPU", () =>
  withFolder(async (folder) => {
    const llama3 = await llama3With(`${folder}/model`);
    const adapter = await readPeftAdapter(`${golden}adapters/dora`);
    await exportGguf(llama3, `${folder}/0.gguf`, { type: "f32", ...quiet });
    await exportGguf(llama3, `${folder}/1.gguf`, { type: "f32", adapter, ...quiet });
    const [plain, merged] = [await read(`${folder}/0.gguf`), await read(`${folder}/1.gguf`)];
    assert(plain.tensors.has("rope_freqs.weight"));
    assert(
      [...plain.tensors].some(([name, { values }]) =>
        values.some((value, i) => merged.tensors.get(name)!.values[i] !== value)
      ),
    );
    using model = await Model.load(llama3, { device, ...quiet });
    await model.use(lora({ adapter }));
    await exportGguf(model, `${folder}/2.gguf`, { type: "f32", ...quiet });
    const gpu = await read(`${folder}/2.gguf`);
    expectClose(gpu, merged);
    // Codes: of the files, and as numbers.
    await mergeModel(llama3, `${folder}/fp8`, { adapter, saveAs: "fp8" });
    await mergeModel(`${folder}/fp8`, `${folder}/dense`, { saveAs: "f32" });
    for (const name of ["fp8", "dense"]) {
      await exportGguf(`${folder}/${name}`, `${folder}/${name}.gguf`, { type: "f32", ...quiet });
    }
    expectClose(await read(`${folder}/fp8.gguf`), await read(`${folder}/dense.gguf`));
  }));

Deno.test("what llama.cpp would compute otherwise is refused by name, and nothing is left", () =>
  withFolder(async (folder) => {
    const path = `${folder}/model.gguf`;
    await writeTinyModel(folder, { config: GEMMA4 });
    await assertRejects(() => exportGguf(folder, path, quiet), ModelError, `type "gemma4_text"`);
    await writeTinyModel(folder, { config: { model_type: "qwen3", attention_bias: true } });
    await assertRejects(() => exportGguf(folder, path, quiet), ModelError, "biases of qkv");
    await writeTinyModel(folder, {
      edit: (name, values) => name.endsWith("q_proj.weight") && (values[3] = 1e6),
    });
    await assertRejects(() => exportGguf(folder, path, quiet), ModelError, "holds 1000000");
    await writeTinyModel(folder);
    const tokenizer = JSON.parse(await Deno.readTextFile(`${folder}/tokenizer.json`));
    tokenizer.normalizer = { type: "Lowercase" };
    await Deno.writeTextFile(`${folder}/tokenizer.json`, JSON.stringify(tokenizer));
    await assertRejects(() => exportGguf(folder, path, quiet), ModelError, "Lowercase");
    const names = [...Deno.readDirSync(folder)].map(({ name }) => name);
    assertEquals(names.filter((name) => name.includes("gguf")), []);
  }));

Deno.test("the command says the size, writes the file, and writes over none", () =>
  withFolder(async (folder) => {
    await writeTinyModel(folder);
    const path = `${folder}/out.gguf`;
    const line = `export ${folder} --gguf q8_0 --output-file ${path}`;
    const { code, out, err } = await runCommand(line);
    assertEquals(code, 0);
    assert(out.startsWith(`${path}: `) && err.includes(" takes "));
    const again = await runCommand(line);
    assertEquals(again.code, 1);
    assert(again.err.includes("allow to overwrite"));
    await assertRejects(() => exportGguf(folder, path, quiet), OptionError, "exists");
  }));
