/**
 * A tiny model of every family that GGUF files are written of, with what its architecture in llama.cpp has
 * keys for, and texts that tokenizers differ on.
 *
 * @module
 */

/** Rows of 64 and of 96 values, which blocks of 32 fit, of a context longer than the texts. */
const SIZES = {
  hidden_size: 64,
  num_attention_heads: 4,
  head_dim: 16,
  intermediate_size: 96,
  max_position_embeddings: 128,
};
const LLAMA3_ROPE = {
  rope_type: "llama3",
  factor: 8,
  low_freq_factor: 1,
  high_freq_factor: 4,
  original_max_position_embeddings: 16,
};
const YARN_ROPE = { rope_type: "yarn", factor: 4, original_max_position_embeddings: 16 };
const LONG = {
  model_type: "phi3",
  partial_rotary_factor: 0.75,
  max_position_embeddings: 1024,
  original_max_position_embeddings: 512,
  sliding_window: null,
  rope_scaling: {
    type: "longrope",
    short_factor: [1, 1.12, 1.24, 1.36, 1.48, 1.6],
    long_factor: [1, 8.8, 16.6, 24.4, 32.2, 40],
  },
};
const GRANITE = {
  attention_multiplier: 0.3,
  embedding_multiplier: 3,
  residual_multiplier: 0.22,
  logits_scaling: 4,
};
const GEMMA = {
  head_dim: 20,
  hidden_act: "gelu_pytorch_tanh",
  hidden_activation: "gelu_pytorch_tanh",
  tie_word_embeddings: true,
};
const WINDOWS = { ...GEMMA, query_pre_attn_scalar: 20, sliding_window: 7 };

/** A config, and what a logit may be off by over the deviation of all logits. */
export interface GgufFamily {
  config: Record<string, unknown>;
  tolerance: number;
}

/** Sums in another order. */
const EXACT = 1e-4;
/** llama.cpp looks its GELU up in a table of f16. */
const GELU = 5e-3;

/** By what is in question. */
export const GGUF_FAMILIES: Readonly<Record<string, GgufFamily>> = Object.fromEntries(
  Object.entries<Record<string, unknown>>({
    llama: {},
    "llama with biases": { attention_bias: true, mlp_bias: true },
    "llama 3": { rope_scaling: LLAMA3_ROPE },
    "llama with YaRN": { rope_scaling: YARN_ROPE },
    "llama with linear scaling": { rope_scaling: { rope_type: "linear", factor: 2 } },
    mistral: { model_type: "mistral", sliding_window: null },
    ministral3: {
      model_type: "ministral3",
      sliding_window: null,
      rope_parameters: {
        ...YARN_ROPE,
        beta_fast: 32,
        beta_slow: 1,
        llama_4_scaling_beta: 0.1,
        mscale: 1,
        mscale_all_dim: 1,
        rope_theta: 1e6,
      },
    },
    qwen2: { model_type: "qwen2", rope_scaling: YARN_ROPE },
    qwen3: { model_type: "qwen3", tie_word_embeddings: true },
    smollm3: { model_type: "smollm3", num_hidden_layers: 5 },
    seed_oss: { model_type: "seed_oss", attention_bias: true },
    phi3: { model_type: "phi3", sliding_window: null },
    "phi3 with LongRoPE": LONG,
    "phi3 in long texts": { ...LONG, original_max_position_embeddings: 16 },
    granite: { model_type: "granite", ...GRANITE },
    "granite 4": {
      model_type: "granitemoehybrid",
      ...GRANITE,
      num_local_experts: 0,
      shared_intermediate_size: 96,
      layer_types: ["full_attention", "full_attention"],
      position_embedding_type: "rope",
    },
    "granite 4 without rotation": {
      model_type: "granitemoehybrid",
      ...GRANITE,
      num_local_experts: 0,
      shared_intermediate_size: 96,
      layer_types: ["full_attention", "full_attention"],
      position_embedding_type: "nope",
    },
    glm4: { model_type: "glm4", attention_bias: true, partial_rotary_factor: 0.5 },
    gemma: { model_type: "gemma", ...GEMMA },
    gemma2: {
      model_type: "gemma2",
      ...WINDOWS,
      num_hidden_layers: 3,
      attn_logit_softcapping: 1.7,
      final_logit_softcapping: 2.3,
    },
    "gemma2 without windows": {
      model_type: "gemma2",
      ...WINDOWS,
      layer_types: ["full_attention", "full_attention"],
    },
    gemma3: {
      model_type: "gemma3_text",
      ...WINDOWS,
      num_hidden_layers: 4,
      sliding_window_pattern: 3,
      rope_scaling: { rope_type: "linear", factor: 8 },
    },
    "gemma3 with another base": {
      model_type: "gemma3_text",
      ...WINDOWS,
      rope_local_base_freq: 50,
      sliding_window_pattern: 2,
    },
    "gemma3 without windows": {
      model_type: "gemma3_text",
      ...WINDOWS,
      layer_types: ["full_attention", "full_attention"],
    },
    olmo2: { model_type: "olmo2", head_dim: undefined },
    "olmo2, tied": { model_type: "olmo2", head_dim: undefined, tie_word_embeddings: true },
    olmo3: {
      model_type: "olmo3",
      head_dim: undefined,
      sliding_window: 7,
      num_hidden_layers: 4,
      rope_scaling: YARN_ROPE,
    },
  }).map(([name, config]) => [name, {
    config: { ...SIZES, ...config },
    tolerance: name.startsWith("gemma") ? GELU : EXACT,
  }]),
);

/** Spaces, digits, signs, other scripts, accents apart and together, emoji, and words of special tokens. */
export const TEXTS: readonly string[] = [
  "Hello, world!",
  " leading space",
  "  two leading, and trailing   ",
  "a  b   c    d",
  "tabs\tand\nlines\r\n\n\nmore\n\n",
  "It's we'll I'M they'D don't",
  "12345 1,234.56 2026-11-27 ½ ٣٤٥ 一二三",
  "x = y**2 + foo(bar[3]) != NULL; // 'quoted'",
  "Ærøskøbing ÉTUDES naïve ﬁne",
  "e\u0301 A\u030a n\u0303",
  "日本語のテキスト。한국어 עברית العربية हिन्दी",
  "👍🏽 family 👨‍👩‍👧‍👦 \u0007 \ufffd",
  "<|im_start|>user\nhi<|im_end|>\n<s>[INST] x [/INST]",
  "<|end_of_text|><bos><start_of_turn>user",
  "supercalifragilisticexpialidocious antidisestablishmentarianism",
];
