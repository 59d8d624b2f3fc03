/**
 * The model families: a new one is a function in a file beside this one and a line here. The fields
 * of config.json that it reads are claimed; `claimed_fields.ts` refuses what it should have read.
 *
 * @module
 */

import type { JsonFields } from "../../io/json.ts";
import type { ModelPlan } from "../plan.ts";
import { gemma, gemma2, gemma3 } from "./gemma.ts";
import { gemma4 } from "./gemma4.ts";
import { glm4 } from "./glm.ts";
import { granite, graniteHybrid } from "./granite.ts";
import { llama, ministral3, mistral, seedOss, smollm3 } from "./llama.ts";
import { olmo2, olmo3 } from "./olmo.ts";
import { phi3 } from "./phi.ts";
import { qwen2, qwen3, qwen3_5 } from "./qwen.ts";

/** A family: its plan, and the models that are known by it. */
export interface Family {
  /** Makes the plan of a config. */
  plan(fields: JsonFields): ModelPlan;
  /** The classes of transformers that compute this graph begin with this. */
  readonly className: string;
  /**
   * What its class in transformers has for fields that a config.json leaves out, where that is not
   * LLaMA's. A field that is null is not left out.
   */
  readonly defaults?: Readonly<Record<string, unknown>>;
}

/**
 * A model of texts and images whose text model is of a family: its config.json holds that of the text
 * model as `text_config`, and its files have other tensors beside those of the text model.
 */
export interface Wrapper {
  /** The classes of transformers that compute this graph begin with this. */
  readonly className: string;
  /** The `model_type` of a `text_config` that gives none. */
  readonly textType: string;
  /** Whether the head is the embedding where the config does not say. */
  readonly tied: boolean;
}

/** By `model_type`. */
export const WRAPPERS: Readonly<Record<string, Wrapper>> = {
  gemma3: { className: "Gemma3", textType: "gemma3_text", tied: true },
  gemma4: { className: "Gemma4", textType: "gemma4_text", tied: true },
  qwen3_5: { className: "Qwen3_5", textType: "qwen3_5_text", tied: false },
  mistral3: { className: "Mistral3", textType: "mistral", tied: true },
};

/** The beginning of the classes of transformers for a `model_type`. */
export function classNameOf(modelType: string): string {
  return (WRAPPERS[modelType] ?? FAMILIES[modelType]).className;
}

const GEMMA_TOKENS = { bos_token_id: 2, eos_token_id: 1, pad_token_id: 0 };
const GEMMA_3_AND_4 = {
  ...GEMMA_TOKENS,
  hidden_size: 2304,
  intermediate_size: 9216,
  num_attention_heads: 8,
  num_key_value_heads: 4,
  head_dim: 256,
  hidden_activation: "gelu_pytorch_tanh",
  max_position_embeddings: 131072,
  tie_word_embeddings: true,
};
const OLMO_TOKENS = { bos_token_id: null, eos_token_id: 50279, pad_token_id: 1 };

/** By `model_type`. */
export const FAMILIES: Readonly<Record<string, Family>> = {
  llama: { plan: llama, className: "Llama" },
  mistral: {
    plan: mistral,
    className: "Mistral",
    defaults: { sliding_window: 4096, num_key_value_heads: 8, max_position_embeddings: 131072 },
  },
  ministral: {
    plan: mistral,
    className: "Ministral",
    defaults: { sliding_window: 4096, num_key_value_heads: 8, max_position_embeddings: 131072 },
  },
  ministral3: {
    plan: ministral3,
    className: "Ministral3",
    defaults: {
      pad_token_id: 11,
      num_key_value_heads: 8,
      head_dim: 128,
      rms_norm_eps: 1e-5,
      max_position_embeddings: 262144,
    },
  },
  smollm3: {
    plan: smollm3,
    className: "SmolLM3",
    defaults: {
      max_position_embeddings: 32768,
      bos_token_id: 128000,
      eos_token_id: 128001,
      pad_token_id: 128004,
      num_key_value_heads: 4,
      tie_word_embeddings: true,
    },
  },
  seed_oss: {
    plan: seedOss,
    className: "SeedOss",
    defaults: {
      max_position_embeddings: 524288,
      bos_token_id: 0,
      pad_token_id: 1,
      num_key_value_heads: 8,
      head_dim: 128,
    },
  },
  qwen2: {
    plan: qwen2,
    className: "Qwen2",
    defaults: {
      max_position_embeddings: 32768,
      bos_token_id: null,
      eos_token_id: null,
      num_key_value_heads: 32,
      sliding_window: 4096,
    },
  },
  qwen3: {
    plan: qwen3,
    className: "Qwen3",
    defaults: {
      max_position_embeddings: 32768,
      bos_token_id: null,
      eos_token_id: null,
      num_key_value_heads: 32,
      head_dim: 128,
      sliding_window: 4096,
    },
  },
  qwen3_5_text: {
    plan: qwen3_5,
    className: "Qwen3_5",
    defaults: {
      bos_token_id: null,
      eos_token_id: null,
      vocab_size: 248320,
      hidden_size: 4096,
      intermediate_size: 12288,
      num_hidden_layers: 32,
      num_attention_heads: 16,
      num_key_value_heads: 4,
      head_dim: 256,
      max_position_embeddings: 32768,
      linear_conv_kernel_dim: 4,
      linear_key_head_dim: 128,
      linear_value_head_dim: 128,
      linear_num_key_heads: 16,
      linear_num_value_heads: 32,
    },
  },
  phi3: {
    plan: phi3,
    className: "Phi3",
    defaults: {
      max_position_embeddings: 4096,
      eos_token_id: 32000,
      pad_token_id: 32000,
      rms_norm_eps: 1e-5,
    },
  },
  granite: { plan: granite, className: "Granite" },
  granitemoehybrid: { plan: graniteHybrid, className: "GraniteMoeHybrid" },
  glm4: {
    plan: glm4,
    className: "Glm4",
    defaults: {
      max_position_embeddings: 131072,
      bos_token_id: null,
      eos_token_id: [151329, 151336, 151338],
      pad_token_id: 151329,
      num_key_value_heads: 2,
      head_dim: 128,
      rms_norm_eps: 1.5625e-7,
      attention_bias: true,
    },
  },
  gemma: {
    plan: gemma,
    className: "Gemma",
    defaults: {
      max_position_embeddings: 8192,
      ...GEMMA_TOKENS,
      num_key_value_heads: 16,
      head_dim: 256,
      hidden_act: "gelu_pytorch_tanh",
      tie_word_embeddings: true,
    },
  },
  gemma2: {
    plan: gemma2,
    className: "Gemma2",
    defaults: {
      max_position_embeddings: 8192,
      ...GEMMA_TOKENS,
      num_key_value_heads: 4,
      head_dim: 256,
      hidden_activation: "gelu_pytorch_tanh",
      tie_word_embeddings: true,
      sliding_window: 4096,
      final_logit_softcapping: 30,
      attn_logit_softcapping: 50,
    },
  },
  gemma3_text: {
    plan: gemma3,
    className: "Gemma3",
    // The 4B model's config.json leaves out even its sizes.
    defaults: {
      ...GEMMA_3_AND_4,
      vocab_size: 262208,
      num_hidden_layers: 26,
      sliding_window: 4096,
    },
  },
  gemma4_text: {
    plan: gemma4,
    className: "Gemma4",
    defaults: {
      ...GEMMA_3_AND_4,
      vocab_size: 262144,
      num_hidden_layers: 30,
      sliding_window: 512,
      vocab_size_per_layer_input: 262144,
      hidden_size_per_layer_input: 256,
    },
  },
  olmo2: { plan: olmo2, className: "Olmo2", defaults: { ...OLMO_TOKENS, rms_norm_eps: 1e-5 } },
  olmo3: {
    plan: olmo3,
    className: "Olmo3",
    defaults: { ...OLMO_TOKENS, rms_norm_eps: 1e-5, sliding_window: 4096 },
  },
};

/** Every `model_type` that is known. */
export const MODEL_TYPES: readonly string[] = [...Object.keys(FAMILIES), ...Object.keys(WRAPPERS)];
