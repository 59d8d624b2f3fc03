/**
 * The architecture of the tiny model.
 *
 * @module
 */
import { BOS_ID, EOS_ID } from "./tokenizer.ts";

/** The longest text, in tokens, that the tiny model is made for. */
export const MAX_LENGTH = 256;

/** The number of tokens that the tiny model knows. */
export const VOCABULARY_SIZE = 512;

/**
 * The content of the model's `config.json`, in the spelling of both older and newer versions of
 * transformers (`rope_theta` and `rope_parameters`, `torch_dtype` and `dtype`).
 *
 * The sizes are those of a LLaMA in small, with two of its awkward sides on purpose: three query
 * heads share one key-value head, and the feed-forward width is no multiple of 8.
 */
export function modelConfig(): unknown {
  const ropeTheta = 10000;
  return {
    architectures: ["LlamaForCausalLM"],
    model_type: "llama",
    vocab_size: VOCABULARY_SIZE,
    hidden_size: 96,
    intermediate_size: 268,
    num_hidden_layers: 4,
    num_attention_heads: 6,
    num_key_value_heads: 2,
    head_dim: 16,
    hidden_act: "silu",
    max_position_embeddings: MAX_LENGTH,
    rms_norm_eps: 1e-5,
    rope_theta: ropeTheta,
    rope_scaling: null,
    rope_parameters: { rope_type: "default", rope_theta: ropeTheta },
    tie_word_embeddings: true,
    attention_bias: false,
    attention_dropout: 0,
    mlp_bias: false,
    initializer_range: 0.02,
    bos_token_id: BOS_ID,
    eos_token_id: EOS_ID,
    pad_token_id: null,
    torch_dtype: "float32",
    dtype: "float32",
    use_cache: true,
  };
}
