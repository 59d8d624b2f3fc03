/** GGUF files of every family, and of tokenizers: what is in them, and what is refused. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { exportGguf, ModelError } from "../../mod.ts";
import { toFloat32 } from "../../src/io/dtype.ts";
import { NAMED_PATTERNS, preTokenizerOf } from "../../src/io/gguf/pre_tokenizers.ts";
import { Weights } from "../../src/io/weights.ts";
import { type GgufFile, readGguf } from "../oracle/gguf.ts";
import { GGUF_FAMILIES } from "../support/gguf_families.ts";
import { withFolder } from "../support/io.ts";
import { writeTinyModel } from "../support/tiny_model.ts";

const quiet = { onNotice: () => {} };

async function read(path: string) {
  return readGguf(await Deno.readFile(path));
}

async function tensor(folder: string, name: string): Promise<Float32Array> {
  using weights = await Weights.open(folder);
  return toFloat32(await weights.read(name), weights.info(name).dtype);
}

Deno.test("every family is written in its architecture's names, norms as what they multiply by", () =>
  withFolder(async (folder) => {
    const path = `${folder}/model.gguf`;
    const read1 = async (name: string) => {
      await writeTinyModel(folder, { config: GGUF_FAMILIES[name].config });
      await exportGguf(folder, path, { type: "f32", overwrite: true, ...quiet });
      return await read(path);
    };
    const architectures = new Map<string, string>();
    for (const name of Object.keys(GGUF_FAMILIES)) {
      architectures.set(name, (await read1(name)).meta.get("general.architecture") as string);
    }
    assertEquals(architectures.get("granite 4 without rotation"), "granite");
    assertEquals(architectures.get("gemma3"), "gemma3");
    assertEquals(architectures.get("olmo3"), "olmo2");

    const gemma = await read1("gemma3");
    const stored = await tensor(folder, "model.layers.0.post_feedforward_layernorm.weight");
    const norm = gemma.tensors.get("blk.0.post_ffw_norm.weight")!.values;
    assertEquals([...norm], [...stored.map((weight) => 1 + weight)]);
    const key = ({ meta }: GgufFile, name: string) =>
      meta.get(`${meta.get("general.architecture")}.${name}`);
    assertEquals(key(gemma, "attention.sliding_window"), 7);
    assertEquals(key(gemma, "attention.sliding_window_pattern"), 3);
    assertEquals(key(gemma, "rope.freq_base_swa"), 10000);
    assertEquals(key(gemma, "rope.scaling.factor"), 8);
    assert(!gemma.tensors.has("output.weight"));

    const phi = await read1("phi3 with LongRoPE");
    assertEquals(phi.tensors.get("blk.0.attn_qkv.weight")!.shape, [128, 64]);
    assertEquals(phi.tensors.get("blk.0.ffn_up.weight")!.shape, [192, 64]);
    assertEquals(phi.tensors.get("rope_factors_long.weight")!.values.length, 6);
    assertEquals(key(phi, "rope.dimension_count"), 12);

    const olmo = await read1("olmo2, tied");
    assertEquals(olmo.tensors.get("blk.0.attn_k_norm.weight")!.shape, [32]);
    assert(olmo.tensors.has("output.weight") && !olmo.tensors.has("blk.0.attn_norm.weight"));
    assertEquals(key(await read1("granite 4 without rotation"), "rope.scaling.finetuned"), false);
    assertEquals(key(await read1("ministral3"), "attention.temperature_scale"), Math.fround(0.1));
    const glm = await read1("glm4");
    const q = await tensor(folder, "model.layers.0.self_attn.q_proj.weight");
    assertEquals([...glm.tensors.get("blk.0.attn_q.weight")!.values], [...q]);
  }));

Deno.test("what an architecture has no key for is refused by name", () =>
  withFolder(async (folder) => {
    const refused: readonly [string, Record<string, unknown>, string][] = [
      ["gemma2", { query_pre_attn_scalar: 30 }, "scores times"],
      ["gemma2", { final_logit_softcapping: null }, "no cap of logits"],
      ["gemma3", { final_logit_softcapping: 20 }, "a cap of logits"],
      ["gemma", { attention_bias: true }, "biases of qkv"],
      ["gemma", { tie_word_embeddings: false }, "a head that is not the embedding"],
      [
        "gemma3",
        { layer_types: ["full", "sliding", "full", "full"].map((type) => `${type}_attention`) },
        "windows in layers that no period tells",
      ],
      ["olmo2", { head_dim: 24 }, "heads that are 96 wide together"],
      [
        "qwen3",
        { rope_scaling: { rope_type: "yarn", factor: 4, beta_fast: 30 } },
        "other settings",
      ],
      ["phi3", { hidden_act: "gelu_pytorch_tanh" }, "the activation geluTanh"],
    ];
    for (const [name, config, words] of refused) {
      await writeTinyModel(folder, { config: { ...GGUF_FAMILIES[name].config, ...config } });
      await assertRejects(
        () => exportGguf(folder, `${folder}/model.gguf`, quiet),
        ModelError,
        words,
      );
    }
  }));

Deno.test("ways to cut texts have llama.cpp's names, and others none", () => {
  const byteLevel = (use_regex: boolean) => ({
    type: "ByteLevel",
    add_prefix_space: false,
    use_regex,
  });
  const sequence = (...pretokenizers: unknown[]) => ({ type: "Sequence", pretokenizers });
  const split = (Regex: string, behavior = "Isolated", invert = false) =>
    sequence({ type: "Split", pattern: { Regex }, behavior, invert }, byteLevel(false));
  // As tokenizer.json of Llama 3 has it.
  const llama3 =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
  assertEquals(preTokenizerOf(split(llama3), true)?.name, "llama-bpe");
  assertEquals(preTokenizerOf(split(llama3), false)?.name, "dbrx");
  assertEquals(preTokenizerOf(split(llama3, "Removed", true), false)?.name, "dbrx");
  assertEquals(preTokenizerOf(split(llama3, "Removed"), false), null);
  assertEquals(preTokenizerOf(split(llama3.replace("{1,3}", "")), false)?.name, "qwen2");
  assertEquals(preTokenizerOf(split(llama3.replace("{1,3}", "{1,2}")), false), null);
  const spelt = "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])";
  const other = llama3.replace("(?i:'s|'t|'re|'ve|'m|'ll|'d)", spelt);
  assertEquals(preTokenizerOf(split(other), true)?.name, "llama-bpe");
  assertEquals(preTokenizerOf(byteLevel(true), false)?.name, "gpt-2");
  assertEquals(preTokenizerOf(byteLevel(true), true), null);
  const digits = { type: "Digits", individual_digits: true };
  assertEquals(preTokenizerOf(sequence(digits, byteLevel(true)), false)?.name, "smollm");
  const runs = { type: "Digits", individual_digits: false };
  assertEquals(preTokenizerOf(sequence(runs, byteLevel(true)), false), null);
  assertEquals(preTokenizerOf({ ...byteLevel(true), add_prefix_space: true }, false), null);
  for (const { pattern, whole, name } of NAMED_PATTERNS) {
    assertEquals(preTokenizerOf(split(pattern), whole)?.name, name);
    assert(new RegExp(pattern.replaceAll("(?i:", "(?:"), "u"));
  }
});
