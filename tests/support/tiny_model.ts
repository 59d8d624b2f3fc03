import { writeSafetensors } from "../../src/io/safetensors.ts";
import { modelTensorShapes, parseModelConfig } from "../../src/model/config.ts";
import { randomGenerator } from "./random.ts";

/** Sizes that are odd on purpose: grouped heads of 10, an embedding with more rows than the tokenizer has tokens. */
const CONFIG = {
  model_type: "llama",
  vocab_size: 269,
  hidden_size: 52,
  intermediate_size: 44,
  num_hidden_layers: 2,
  num_attention_heads: 6,
  num_key_value_heads: 2,
  head_dim: 10,
  max_position_embeddings: 64,
  rms_norm_eps: 1e-5,
  tie_word_embeddings: false,
  bos_token_id: 1,
  eos_token_id: null,
};

/** A tokenizer of bytes: 0 unknown, 1 bos, 2 eos, byte b is 3 + b, and "▁" for spaces. It adds bos. */
function tokenizerJson() {
  const special = ["<unk>", "<s>", "</s>"];
  const bytes = Array.from(
    { length: 256 },
    (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`,
  );
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: special.map((content, id) => ({ id, content, special: true })),
    normalizer: { type: "Replace", pattern: { String: " " }, content: "▁" },
    pre_tokenizer: null,
    post_processor: {
      type: "TemplateProcessing",
      single: [{ SpecialToken: { id: "<s>", type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }],
      pair: [],
      special_tokens: { "<s>": { id: "<s>", ids: [1], tokens: ["<s>"] } },
    },
    decoder: {
      type: "Sequence",
      decoders: [
        { type: "Replace", pattern: { String: "▁" }, content: " " },
        { type: "ByteFallback" },
        { type: "Fuse" },
      ],
    },
    model: {
      type: "BPE",
      unk_token: "<unk>",
      byte_fallback: true,
      vocab: Object.fromEntries([...special, ...bytes, "▁"].map((token, id) => [token, id])),
      merges: [],
    },
  };
}

/**
 * Fields of a tiny model whose branches have norms before and behind, of 1 + weight, and a GELU gate: a
 * Gemma 2 without windows and caps.
 */
export const SANDWICH: Record<string, unknown> = {
  model_type: "gemma2",
  hidden_activation: "gelu_pytorch_tanh",
  query_pre_attn_scalar: 10,
  attn_logit_softcapping: null,
  final_logit_softcapping: null,
  layer_types: ["full_attention", "full_attention"],
};

/** Fields of a tiny model whose branches have norms behind only: OLMo 2. */
export const POST_NORM: Record<string, unknown> = { model_type: "olmo2" };

/** Fields of a tiny model whose branches and embedding are scaled: a Granite whose logits are not. */
export const SCALED: Record<string, unknown> = {
  model_type: "granite",
  attention_multiplier: 0.3,
  embedding_multiplier: 3,
  residual_multiplier: 0.22,
};

/**
 * Fields of a tiny model of Gemma 4: a window, and a layer of larger heads whose keys are its values.
 */
export const GEMMA4: Record<string, unknown> = {
  model_type: "gemma4_text",
  layer_types: ["sliding_attention", "full_attention"],
  sliding_window: 7,
  global_head_dim: 14,
  num_global_key_value_heads: 1,
  attention_k_eq_v: true,
  hidden_size_per_layer_input: 0,
};

/** The same of an E model: inputs of the tokens, and layers with keys and values of others. */
export const GEMMA4_E: Record<string, unknown> = {
  model_type: "gemma4_text",
  num_hidden_layers: 4,
  layer_types: [
    ...["sliding_attention", "full_attention"],
    ...["sliding_attention", "full_attention"],
  ],
  sliding_window: 7,
  global_head_dim: 14,
  num_kv_shared_layers: 2,
  use_double_wide_mlp: true,
  hidden_size_per_layer_input: 6,
  vocab_size_per_layer_input: 269,
};

/** Fields of a config.json that give every linear layer of the model a bias. */
export const BIASES = { attention_bias: true, mlp_bias: true };

/** What to write otherwise than usual. */
export interface TinyModelOptions {
  /** Fields of config.json. */
  config?: Record<string, unknown>;
  /** Sees each tensor before it is written. */
  edit?: (name: string, values: Float32Array) => void;
}

/** Writes a small model of random weights as a Hugging Face folder. */
export async function writeTinyModel(
  folder: string,
  { config = {}, edit = () => {} }: TinyModelOptions = {},
): Promise<void> {
  const json = { ...CONFIG, ...config };
  const random = randomGenerator(5);
  const shapes = modelTensorShapes(parseModelConfig(json, "the tiny model"));
  const tensors = [...shapes].map(([name, shape]) => {
    const isBias = name.endsWith(".bias");
    const bound = isBias ? 0.5 : shape.length === 1 ? 0.2 : 3 / Math.sqrt(shape[1]);
    const mean = shape.length === 1 && !isBias ? 1 : 0;
    const values = Float32Array.from(
      { length: shape.reduce((a, b) => a * b) },
      () => mean + bound * (2 * random() - 1),
    );
    edit(name, values);
    return { name, dtype: "F32" as const, shape, data: () => new Uint8Array(values.buffer) };
  });
  await writeSafetensors(`${folder}/model.safetensors`, tensors);
  await Deno.writeTextFile(`${folder}/config.json`, JSON.stringify(json));
  await Deno.writeTextFile(`${folder}/tokenizer.json`, JSON.stringify(tokenizerJson()));
}
