/**
 * Tiny models of every family in other sizes and settings than those of the golden values: odd heads, one
 * layer, windows of one token, biases beside fused weights, parts of heads that turn.
 *
 * @module
 */

const SLIDING = "sliding_attention";
const FULL = "full_attention";

/**
 * The output of a delta net for the first token of a document is (q·k)·v, which its norm turns around where q·k
 * changes its sign: this keeps it from being a matter of rounding.
 */
const CALM = { rms_norm_eps: 0.1 };

/** Fields of config.json for `writeTinyModel`, by what they are. */
export const FAMILY_VARIANTS: Readonly<Record<string, Record<string, unknown>>> = {
  "llama, heads of 34, every bias": {
    model_type: "llama",
    hidden_size: 50,
    intermediate_size: 37,
    num_attention_heads: 3,
    num_key_value_heads: 1,
    head_dim: 34,
    attention_bias: true,
    mlp_bias: true,
  },
  "mistral, a window of one token in one layer": {
    model_type: "mistral",
    sliding_window: 1,
    layer_types: [FULL, SLIDING],
  },
  "ministral3, yarn not truncated, scaled queries": {
    model_type: "ministral3",
    head_dim: 14,
    rope_parameters: {
      rope_type: "yarn",
      rope_theta: 1e4,
      factor: 4,
      original_max_position_embeddings: 8,
      beta_fast: 4,
      mscale: 1,
      mscale_all_dim: 0.5,
      llama_4_scaling_beta: 0.3,
      truncate: false,
    },
    tie_word_embeddings: true,
  },
  "smollm3, a window where nothing turns, biases": {
    model_type: "smollm3",
    head_dim: 12,
    no_rope_layers: [0, 1],
    use_sliding_window: true,
    sliding_window: 5,
    attention_bias: true,
  },
  "qwen2, as many key heads as query heads, a window from a layer on": {
    model_type: "qwen2",
    num_key_value_heads: 6,
    use_sliding_window: true,
    sliding_window: 3,
    max_window_layers: 1,
    tie_word_embeddings: true,
  },
  "qwen3, one layer of five heads, biases": {
    model_type: "qwen3",
    num_hidden_layers: 1,
    num_attention_heads: 5,
    num_key_value_heads: 5,
    head_dim: 30,
    attention_bias: true,
  },
  "qwen3.5, three value heads a key, a convolution of three, biases": {
    model_type: "qwen3_5_text",
    num_hidden_layers: 3,
    layer_types: ["linear_attention", FULL, "linear_attention"],
    head_dim: 24,
    partial_rotary_factor: 0.75,
    linear_num_key_heads: 2,
    linear_num_value_heads: 6,
    linear_key_head_dim: 10,
    linear_value_head_dim: 9,
    linear_conv_kernel_dim: 3,
    attention_bias: true,
    ...CALM,
  },
  "qwen3.5 in a model of images, one delta net": {
    model_type: "qwen3_5",
    tie_word_embeddings: true,
    text_config: {
      model_type: "qwen3_5_text",
      vocab_size: 269,
      hidden_size: 52,
      intermediate_size: 44,
      num_hidden_layers: 2,
      full_attention_interval: 2,
      num_attention_heads: 3,
      num_key_value_heads: 1,
      head_dim: 16,
      max_position_embeddings: 64,
      linear_num_key_heads: 1,
      linear_num_value_heads: 1,
      linear_key_head_dim: 34,
      linear_value_head_dim: 33,
      linear_conv_kernel_dim: 1,
      ...CALM,
    },
  },
  "phi3, a quarter of a head turns, longrope, a window": {
    model_type: "phi3",
    head_dim: 16,
    sliding_window: 9,
    original_max_position_embeddings: 16,
    rope_parameters: {
      rope_type: "longrope",
      rope_theta: 1e4,
      partial_rotary_factor: 0.25,
      short_factor: [1, 1.5],
      long_factor: [2, 5],
    },
  },
  "granite, every factor, every bias": {
    model_type: "granite",
    embedding_multiplier: 12,
    logits_scaling: 8,
    residual_multiplier: 0.22,
    attention_multiplier: 0.015625,
    attention_bias: true,
    mlp_bias: true,
    tie_word_embeddings: true,
  },
  "granite 4, nothing turns, biases": {
    model_type: "granitemoehybrid",
    num_local_experts: 0,
    num_experts_per_tok: 0,
    shared_intermediate_size: 39,
    layer_types: ["attention", "attention"],
    position_embedding_type: "nope",
    embedding_multiplier: 12,
    attention_multiplier: 0.1,
    attention_bias: true,
  },
  "glm4, two fifths of a head turn": {
    model_type: "glm4",
    head_dim: 20,
    partial_rotary_factor: 0.4,
    num_key_value_heads: 6,
  },
  "gemma2, heads of 256, caps, a window of one token": {
    model_type: "gemma2",
    num_attention_heads: 2,
    num_key_value_heads: 1,
    head_dim: 256,
    sliding_window: 1,
    query_pre_attn_scalar: 100,
    attn_logit_softcapping: 2,
    final_logit_softcapping: 3,
    tie_word_embeddings: true,
  },
  "gemma3 in a model of images": {
    model_type: "gemma3",
    text_config: {
      model_type: "gemma3_text",
      vocab_size: 269,
      hidden_size: 52,
      intermediate_size: 44,
      num_hidden_layers: 2,
      num_attention_heads: 6,
      num_key_value_heads: 2,
      head_dim: 10,
      max_position_embeddings: 64,
      sliding_window: 5,
      sliding_window_pattern: 2,
      query_pre_attn_scalar: 13,
      rope_scaling: { rope_type: "linear", factor: 8 },
    },
  },
  "olmo3, three layers, yarn in one": {
    model_type: "olmo3",
    num_hidden_layers: 3,
    num_attention_heads: 3,
    num_key_value_heads: 1,
    head_dim: 20,
    sliding_window: 4,
    layer_types: [SLIDING, FULL, SLIDING],
    rope_scaling: {
      rope_type: "yarn",
      factor: 8,
      original_max_position_embeddings: 8,
      attention_factor: 1.2,
    },
  },
};
