import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { join } from "node:path";
import { ModelError } from "../../src/errors.ts";
import { Model } from "../../src/inference/model.ts";
import type { DType } from "../../src/io/dtype.ts";
import { SafetensorsFile, writeSafetensors } from "../../src/io/safetensors.ts";
import { expectTensors } from "../../src/model/claimed_tensors.ts";
import { Weights } from "../../src/io/weights.ts";
import { parseModelConfig, readModelConfig } from "../../src/model/config.ts";
import { expectClass } from "../../src/model/model_class.ts";
import { openDryGpu } from "../support/dry_gpus.ts";
import { FAMILY_MODELS, WRAPPED_MODELS } from "../support/families.ts";
import { shared, sharedTest, withFolder } from "../support/io.ts";
import { GEMMA4_E, writeTinyModel } from "../support/tiny_model.ts";

const llama = {
  model_type: "llama",
  vocab_size: 100,
  hidden_size: 64,
  intermediate_size: 172,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  rms_norm_eps: 1e-5,
};
const parse = (more: object) => parseModelConfig({ ...llama, ...more }, '"config.json"');

/** Fields of other architectures that LLaMA's class would not look at. */
const GRAPH_CHANGING: object[] = [
  // Granite, MiniCPM, Falcon-H1: factors
  { embedding_multiplier: 12 },
  { residual_multiplier: 0.22 },
  { attention_multiplier: 0.015625 },
  { attention_multiplier: 1 },
  { logits_scaling: 8 },
  { logit_scale: 0.0625 },
  { scale_emb: 12 },
  { scale_depth: 1.4 },
  { dim_model_base: 256 },
  { mlp_multipliers: [1, 0.5] },
  { use_mup: true },
  // Gemma
  { query_pre_attn_scalar: 20 },
  { attn_logit_softcapping: 50 },
  { final_logit_softcapping: 30 },
  { hidden_activation: "gelu_pytorch_tanh" },
  { hidden_act: "silu", hidden_activation: "gelu_pytorch_tanh" },
  { use_bidirectional_attention: true },
  { attention_k_eq_v: true },
  { num_kv_shared_layers: 10 },
  { hidden_size_per_layer_input: 256 },
  { altup_num_inputs: 4 },
  { laurel_rank: 64 },
  { use_double_wide_mlp: true },
  // windows and kinds of layers
  { sliding_window: 4096 },
  { sliding_window: 4096, use_sliding_window: true, max_window_layers: 28 },
  { sliding_window: 512, sliding_window_pattern: 6 },
  { local_attention_window: 128 },
  { layer_types: ["full_attention", "sliding_attention"] },
  { layer_types: ["linear_attention", "full_attention"] },
  { attention_chunk_size: 8192 },
  // SmolLM3: layers without rotation
  { no_rope_layers: [1, 0] },
  { no_rope_layer_interval: 4 },
  { use_rope: false },
  // rotation
  { partial_rotary_factor: 0.5 },
  { rotary_pct: 0.25 },
  { rope_interleaved: true },
  { rope_ratio: 16 },
  { rope_local_base_freq: 10000 },
  { position_embedding_type: "nope" },
  { alibi: true },
  // biases and norms
  { qkv_bias: true },
  { use_bias: true },
  { attention_out_bias: true },
  { add_bias_linear: true },
  { use_qk_norm: true },
  { qk_layernorm: true },
  { norm_type: "layer_norm" },
  { layer_norm_eps: 1e-6 },
  { use_post_norm: true },
  { clip_qkv: 8 },
  // blocks of another form
  { use_parallel_residual: true },
  { parallel_attn: true },
  { num_local_experts: 8, num_experts_per_tok: 2 },
  { num_experts: 128 },
  { n_routed_experts: 64 },
  { moe_intermediate_size: 768 },
  { kv_lora_rank: 512 },
  { mamba_d_state: 256 },
  { is_encoder_decoder: true },
  { text_config: { vocab_size: 5 } },
  { quantization: { group_size: 64, bits: 4 } },
];

Deno.test("a field that changes the graph and that nobody reads is refused by its name and value", () => {
  for (const more of GRAPH_CHANGING) {
    const error = assertThrows(() => parse(more), ModelError, undefined, JSON.stringify(more));
    const named = Object.entries(more).some(([name, value]) =>
      error.message.startsWith(`${name} in "config.json" must be `) &&
      error.message.includes(`: found ${JSON.stringify(value)}; `)
    );
    assert(named, `${JSON.stringify(more)}: ${error.message}`);
  }
});

Deno.test("the same fields pass with the values that leave LLaMA's graph as it is", () => {
  const neutral: object[] = [
    { embedding_multiplier: 1, residual_multiplier: 1.0, logits_scaling: 1 },
    { attention_multiplier: 0.25, query_pre_attn_scalar: 16 },
    { attn_logit_softcapping: null, final_logit_softcapping: null },
    { hidden_act: "silu", hidden_activation: "silu" },
    { hidden_act: null, hidden_activation: null },
    { use_bidirectional_attention: null, attention_k_eq_v: false, num_kv_shared_layers: 0 },
    { sliding_window: null, use_sliding_window: false, max_window_layers: 28 },
    { sliding_window: 131072, use_sliding_window: false, max_window_layers: 70 },
    { layer_types: ["full_attention", "full_attention"], sliding_window: 4096 },
    { no_rope_layers: [1, 1], no_rope_layer_interval: 4 },
    { no_rope_layers: [], use_rope: true, rope_interleaved: false, rotary_pct: 1 },
    { position_embedding_type: "rope", alibi: false },
    { qkv_bias: false, use_bias: false, no_bias: true, use_qk_norm: false, qk_layernorm: null },
    { norm_type: "rms_norm", normalization_function: "rmsnorm", layer_norm_eps: 1e-5 },
    { use_parallel_residual: false, num_local_experts: 0, num_experts_per_tok: 0 },
    { num_experts: null, moe_intermediate_size: null, num_key_value_heads: null },
    { is_encoder_decoder: false, cross_attention_hidden_size: null, add_cross_attention: false },
    { chunk_size_feed_forward: 0, pruned_heads: {}, output_attentions: false },
  ];
  for (const more of neutral) parse(more);
});

Deno.test("fields that change nothing pass, whatever they say", () => {
  parse({
    _name_or_path: "somebody/model",
    architectures: ["LlamaForCausalLM"],
    attention_dropout: 0.1,
    residual_dropout: 0.1,
    attn_implementation: "sdpa",
    auto_map: { AutoConfig: "x.Y" },
    dtype: "bfloat16",
    initializer_range: 0.02,
    max_sequence_length: 4096,
    model_parallel_size: 8,
    pretraining_tp: 2,
    rescale_grad_norm: 3,
    router_aux_loss_coef: 0.001,
    tensor_parallel_degree: 8,
    torch_dtype: "float16",
    transformers_version: "5.18.0",
    unsloth_version: "2026.1",
    use_cache: true,
    use_flash_attention_2: true,
  });
});

Deno.test("rotary parameters that nobody reads are refused", () => {
  const cases: [object, string][] = [
    [
      { rope_parameters: { full_attention: { rope_theta: 5e5 } } },
      "one set of parameters for all layers",
    ],
    [
      { rope_parameters: { rope_theta: 1e4, sliding_attention: { rope_theta: 5e5 } } },
      "a set of its own for sliding_attention",
    ],
    [{ rope_scaling: { type: "linear", factor: 2, mrope_section: [1, 2] } }, "mrope_section in"],
    [{ rope_parameters: { rope_theta: 1e4, llama_4_scaling_beta: 0.1 } }, "llama_4_scaling_beta"],
    [{ rope_parameters: { rope_type: "default", factor: 8 } }, "factor in rope_parameters"],
    [{ rope_scaling: { type: "linear", factor: 2, attention_factor: 1.2 } }, "attention_factor"],
    [{ rope_scaling: { type: "linear", factor: 2 }, rope_parameters: { rope_theta: 5e5 } }, "same"],
  ];
  for (const [more, message] of cases) assertThrows(() => parse(more), ModelError, message);
  const linear = { rope_type: "linear", factor: 2, rope_theta: 5e5 };
  parse({ rope_scaling: linear, rope_parameters: linear });
  parse({ rope_scaling: { ...linear, attention_factor: null, max_position_embeddings: 64 } });
});

Deno.test("another family's class under the model_type is refused", () => {
  const classOf = (...architectures: string[]) => expectClass("folder", parse({ architectures }));
  for (
    const other of ["HeliumForCausalLM", "Qwen2ForCausalLM", "SmolLM3ForCausalLM", "Llama4Model"]
  ) {
    assertThrows(() => classOf(other), ModelError, `has the architectures ["${other}"]`);
  }
  classOf();
  for (
    const own of [
      "LlamaForCausalLM",
      "LlamaModel",
      "LLaMAForCausalLM",
      "LlamaForSequenceClassification",
      "MyOwnForCausalLM",
    ]
  ) classOf(own);
});

/** A tensor of a file. */
interface Stored {
  dtype: DType;
  shape: readonly number[];
  bytes: Uint8Array<ArrayBuffer>;
}

/** Writes a tiny model whose tensors `edit` changes, and loads it. */
function loadEdited(
  config: Record<string, unknown>,
  edit: (tensors: Map<string, Stored>) => void,
): Promise<void> {
  return withFolder(async (folder) => {
    await writeTinyModel(folder, { config });
    const path = join(folder, "model.safetensors");
    const tensors = new Map<string, Stored>();
    {
      using file = await SafetensorsFile.open(path);
      for (const { name, dtype, shape } of file.tensors.values()) {
        tensors.set(name, { dtype, shape, bytes: await file.read(name) });
      }
    }
    edit(tensors);
    await Deno.remove(path);
    await writeSafetensors(
      path,
      [...tensors].map(([name, { bytes, ...rest }]) => ({ name, ...rest, data: () => bytes })),
    );
    using _ = await Model.load(folder, { device: openDryGpu() });
  });
}

/** An f32 tensor of ones. */
function ones(...shape: number[]): Stored {
  const values = new Float32Array(shape.reduce((a, b) => a * b)).fill(1);
  return { dtype: "F32", shape, bytes: new Uint8Array(values.buffer) };
}

/** Gives tensors other names; null removes them. */
function rename(tensors: Map<string, Stored>, to: (name: string) => string | null): void {
  for (const [name, tensor] of [...tensors]) {
    tensors.delete(name);
    const renamed = to(name);
    if (renamed !== null) tensors.set(renamed, tensor);
  }
}

Deno.test("a tensor that nobody reads is refused by its name", async () => {
  const layer = "model.layers.1";
  const names = [
    `${layer}.self_attn.q_proj.bias`, // Qwen2, or attention_bias left out of the config
    `${layer}.mlp.down_proj.bias`,
    `${layer}.self_attn.k_norm.weight`, // Qwen3
    `${layer}.post_feedforward_layernorm.weight`, // Gemma 2
    `${layer}.self_attn.sinks`, // gpt-oss
    `${layer}.self_attn.q_proj.weight_scale`, // of a weight that is not FP8
    "model.layers.2.input_layernorm.weight", // num_hidden_layers is too small
    "model.norm.bias",
    "score.weight",
    "adapter.lora_A.weight",
  ];
  await loadEdited({}, (tensors) => tensors.set("mtp.layers.0.norm.weight", ones(52)));
  // Gemma 4's E models have keys and values in layers that take those of another one.
  const unused = "model.layers.2.self_attn.k_proj.weight";
  await loadEdited(GEMMA4_E, (tensors) => tensors.set(unused, ones(20, 52)));
  for (const name of names) {
    await assertRejects(
      () => loadEdited({}, (tensors) => tensors.set(name, ones(52))),
      ModelError,
      `have a tensor "${name}" that its model_type and config have no use for`,
    );
  }
  await loadEdited(
    {},
    (tensors) => tensors.set(`${layer}.self_attn.rotary_emb.inv_freq`, ones(5)),
  );
});

Deno.test("a missing tensor is told with what helps", async () => {
  const lacks = 'have no tensor "model.';
  const cases: [string, (tensors: Map<string, Stored>) => void, string][] = [
    [
      "a wrapper's names",
      (tensors) => rename(tensors, (name) => `language_model.${name}`),
      'its names begin with "language_model.model." where those of a causal language model begin ' +
      'with "model.", so load it with AutoModelForCausalLM',
    ],
    [
      "fused layers, as Phi",
      (tensors) => {
        rename(tensors, (name) => /[qkv]_proj/.test(name) ? null : name);
        tensors.set("model.layers.0.self_attn.qkv_proj.weight", ones(100, 52));
      },
      `${lacks}layers.0.self_attn.q_proj.weight" but ` +
      '"model.layers.0.self_attn.qkv_proj.weight", which its model_type has no use for: ' +
      "config.json and the weights are of different architectures",
    ],
    [
      "norms behind attention, as OLMo 2",
      (tensors) =>
        rename(tensors, (name) => name.replace("input_layernorm", "post_feedforward_layernorm")),
      'but "model.layers.0.post_feedforward_layernorm.weight", which',
    ],
    [
      "a shard that was not fetched",
      (tensors) => rename(tensors, (name) => name.includes("layers.1") ? null : name),
      "fetch the model again",
    ],
    [
      "an untied config of a tied model",
      (tensors) => tensors.delete("lm_head.weight"),
      'no tensor "lm_head.weight": set tie_word_embeddings to true in config.json if',
    ],
  ];
  for (const [what, edit, message] of cases) {
    await assertRejects(() => loadEdited({}, edit), ModelError, message, what);
  }
});

Deno.test("names as a model without its head has them are understood", async () => {
  const headless = (tensors: Map<string, Stored>) =>
    rename(tensors, (name) => name.startsWith("lm_head") ? null : name.replace(/^model\./, ""));
  await loadEdited({ tie_word_embeddings: true }, headless);
  await assertRejects(
    () => loadEdited({}, headless),
    ModelError,
    'no tensor "lm_head.weight": set tie_word_embeddings to true in config.json if',
  );
});

Deno.test("a tied head may be stored again, or alone", async () => {
  const tied = { tie_word_embeddings: true };
  const embedding = "model.embed_tokens.weight";
  await loadEdited(tied, (tensors) => tensors.set("lm_head.weight", tensors.get(embedding)!));
  await loadEdited(
    tied,
    (tensors) => rename(tensors, (name) => name === embedding ? "lm_head.weight" : name),
  );
});

/** Reads a folder as `Model.load` does, but for the tokenizer. */
async function check(folder: string, json: Record<string, unknown>): Promise<void> {
  const config = parseModelConfig(json, '"config.json"');
  using weights = await Weights.open(folder);
  await expectTensors(weights, config.plan, config.quantization);
  expectClass(folder, config);
}

/** What tells each family under model_type llama. */
const DISGUISED: Record<string, RegExp> = {
  "gemma": /GemmaForCausalLM/,
  "gemma2": /^attn_logit_softcapping/,
  "gemma3": /^_sliding_window_pattern|^rope_parameters/,
  "gemma3-vlm": /^text_config/,
  "gemma4": /^rope_parameters/,
  "gemma4-vlm": /^text_config/,
  "glm4": /^partial_rotary_factor/,
  "granite": /^(attention|embedding|residual)_multiplier/,
  "granite4": /^(attention|embedding|residual)_multiplier/,
  "ministral": /^layer_types/,
  "ministral3": /^llama_4_scaling_beta/,
  "ministral3-vlm": /^text_config/,
  "mistral": /MistralForCausalLM/,
  "mistral-v01": /^sliding_window/,
  "olmo2": /"model.layers.0.post_feedforward_layernorm.weight"/,
  "olmo3": /^(rope_parameters|layer_types)/,
  "phi3": /^sliding_window/,
  "phi4": /no tensor ".+q_proj.weight" but ".+", which its model_type has no use for/,
  "phi4-mini": /^partial_rotary_factor/,
  "qwen2": /"model.layers.0.self_attn.[qkv]_proj.bias"/,
  "qwen2-yarn-swa": /^(layer_types|max_window_layers)/,
  "qwen3": /"model.layers.0.self_attn.[qk]_norm.weight"/,
  "qwen3_5": /^partial_rotary_factor/,
  "qwen3_5-vlm": /^text_config/,
  "seed-oss": /"model.layers.0.self_attn.o_proj.bias"/,
  "smollm3": /^no_rope_layers/,
};

sharedTest("published families load as themselves or are refused, also as llama", async () => {
  const families = `${shared}golden/families`;
  const seen: string[] = [];
  const loaded = new Set([...FAMILY_MODELS, ...WRAPPED_MODELS].map(({ name }) => name));
  for await (const { name, isDirectory } of Deno.readDir(families)) {
    if (!isDirectory) continue;
    const folder = join(families, name);
    for (const file of ["config.json", "config-hub.json"]) {
      const text = await Deno.readTextFile(join(folder, file)).catch(() => null);
      if (text === null) continue;
      const json = JSON.parse(text);
      if (loaded.has(name)) await check(folder, json);
      else await assertRejects(() => check(folder, json), ModelError, undefined, name);
      if (!(name in DISGUISED)) continue;
      const disguised = { ...json, model_type: "llama" };
      const error = await assertRejects(() => check(folder, disguised), ModelError);
      assert(DISGUISED[name].test(error.message), `${name}: ${error.message}`);
      seen.push(name);
    }
  }
  assertEquals([...new Set(seen)].sort(), Object.keys(DISGUISED).sort());
});

sharedTest("models of other tools still load", async () => {
  for (
    const folder of [
      "models/stories260K",
      "models/babyllama-0.97M",
      "golden/checkpoints/ct-fp8-dynamic",
      "golden/checkpoints/ct-fp8-dynamic-bf16",
      "golden/checkpoints/ct-fp8-ignore",
      "golden/checkpoints/ct-fp8-transform",
      "golden/checkpoints/ct-w8a8",
    ]
  ) {
    const config = await readModelConfig(shared + folder);
    using weights = await Weights.open(shared + folder);
    await expectTensors(weights, config.plan, config.quantization);
  }
});
