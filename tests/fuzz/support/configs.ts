/**
 * Configs that fuzzing begins with: one of every family with all of its fields, real sizes, and every way of storing
 * weights in 8 bits.
 *
 * @module
 */

import { FAMILY_VARIANTS } from "../../support/family_variants.ts";
import { SCHEMES } from "../../support/quantized_model.ts";
import { transformConfig } from "../../../src/model/transform_config.ts";

type Json = Record<string, unknown>;

const SIZES = {
  vocab_size: 269,
  hidden_size: 64,
  intermediate_size: 44,
  num_hidden_layers: 2,
  num_attention_heads: 6,
  num_key_value_heads: 2,
  head_dim: 16,
  max_position_embeddings: 64,
  rms_norm_eps: 1e-5,
  tie_word_embeddings: false,
  bos_token_id: 1,
  eos_token_id: [2, 3],
};

const LLAMA = {
  ...SIZES,
  model_type: "llama",
  architectures: ["LlamaForCausalLM"],
  hidden_act: "silu",
  torch_dtype: "bfloat16",
  rope_theta: 5e5,
  rope_scaling: {
    rope_type: "llama3",
    factor: 8,
    low_freq_factor: 1,
    high_freq_factor: 4,
    original_max_position_embeddings: 32,
  },
};

/** Blocks of `quantization_config`, also with rotated inputs. */
export const QUANTIZATIONS: readonly Json[] = [
  ...Object.values(SCHEMES).map(({ quantization }) => quantization),
  {
    ...SCHEMES["compressed-tensors, int8"].quantization,
    ignore: ["lm_head", "re:.*q_proj"],
    transform_config: transformConfig(new Map([[4, ["down_proj"]], [32, ["up_proj"]]]), [
      "lm_head",
    ]),
  },
];

/** Configs of every family, and of real sizes. */
export const CONFIGS: readonly Json[] = [
  LLAMA,
  ...Object.values(FAMILY_VARIANTS).map((fields) => ({ ...SIZES, ...fields })),
  ...QUANTIZATIONS.map((quantization_config) => ({ ...LLAMA, quantization_config })),
  ...realConfigs(),
];

function realConfigs(): Json[] {
  const folder = new URL("../../../bench/models/", import.meta.url);
  return [...Deno.readDirSync(folder)].map(({ name }) => name).sort()
    .map((name) => JSON.parse(Deno.readTextFileSync(new URL(name, folder))));
}
