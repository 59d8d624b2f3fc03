/**
 * LLaMA, and the families that are the same decoder with windows, biases or layers without rotation.
 *
 * @module
 */

import type { JsonFields } from "../../io/json.ts";
import type { ModelPlan } from "../plan.ts";
import type { RopeOptions } from "../rope_types.ts";
import { decoder } from "./decoder.ts";
import { attentionBias, readLayerCount, readLayerTypes, windowOf } from "./decoder_fields.ts";

/** `model_type: "llama"`: Llama 1 to 3, SmolLM2, TinyLlama, Yi, Falcon 3, the R1 distills of Llama. */
export function llama(fields: JsonFields): ModelPlan {
  const bias = attentionBias(fields);
  const mlpBias = fields.boolean("mlp_bias", false);
  return decoder(fields, {
    layer: ({ attention, mlp, ...layer }) => ({
      ...layer,
      attention: { ...attention, bias },
      mlp: { ...mlp, bias: mlpBias },
    }),
  });
}

/**
 * `model_type: "mistral"` and `"ministral"`: every layer has the window, unless `layer_types` says
 * which.
 */
export function mistral(fields: JsonFields): ModelPlan {
  return windowed(fields);
}

/** `model_type: "ministral3"`: queries are scaled by their positions. */
export function ministral3(fields: JsonFields): ModelPlan {
  return windowed(fields, { queryScale: true, absent: MINISTRAL3_ROPE });
}

/** The rotary settings of a Ministral 3 config without any: those of its class. */
const MINISTRAL3_ROPE = {
  rope_type: "yarn",
  rope_theta: 1e6,
  factor: 16,
  original_max_position_embeddings: 16384,
  beta_fast: 32,
  beta_slow: 1,
  mscale_all_dim: 1,
  mscale: 1,
  llama_4_scaling_beta: 0.1,
};

function windowed(fields: JsonFields, rope: RopeOptions = {}): ModelPlan {
  const absent = fields.has("sliding_window") ? "sliding_attention" : "full_attention";
  const layerTypes = readLayerTypes(fields, () => absent);
  return decoder(fields, {
    layerTypes,
    rope,
    layer: ({ attention, ...layer }, index) => ({
      ...layer,
      attention: { ...attention, window: windowOf(fields, layerTypes[index]) },
    }),
  });
}

/** `model_type: "smollm3"`: some layers do not rotate. */
export function smollm3(fields: JsonFields): ModelPlan {
  const count = readLayerCount(fields);
  const rotates = readRotatingLayers(fields, count);
  const windows = fields.boolean("use_sliding_window", false) && fields.has("sliding_window");
  const layerTypes = readLayerTypes(
    fields,
    (i) => windows && !rotates[i] ? "sliding_attention" : "full_attention",
  );
  const bias = attentionBias(fields);
  const mlpBias = fields.boolean("mlp_bias", false);
  return decoder(fields, {
    layerTypes,
    rope: { theta: 2e6 },
    layer: ({ attention, mlp, ...layer }, index) => ({
      ...layer,
      attention: {
        ...attention,
        bias,
        rope: rotates[index] ? attention.rope : null,
        window: windowOf(fields, layerTypes[index]),
      },
      mlp: { ...mlp, bias: mlpBias },
    }),
  });
}

/** `no_rope_layers`, whose 1 means that a layer rotates; or all but every `interval`-th. */
function readRotatingLayers(fields: JsonFields, count: number): boolean[] {
  const interval = fields.integer("no_rope_layer_interval", 1, 4);
  if (!fields.has("no_rope_layers")) {
    return Array.from({ length: count }, (_, i) => (i + 1) % interval !== 0);
  }
  const given = fields.raw("no_rope_layers");
  if (Array.isArray(given) && given.length === count && given.every((v) => v === 0 || v === 1)) {
    return given.map((value) => value === 1);
  }
  throw fields.error("no_rope_layers", `${count} numbers 0 or 1, one for each layer`);
}

/** `model_type: "seed_oss"`: biases of queries, keys and values. */
export function seedOss(fields: JsonFields): ModelPlan {
  const bias = {
    qkv: fields.boolean("attention_bias", true),
    o: fields.boolean("attention_out_bias", false),
  };
  const mlpBias = fields.boolean("mlp_bias", false);
  return decoder(fields, {
    layer: ({ attention, mlp, ...layer }) => ({
      ...layer,
      attention: { ...attention, bias },
      mlp: { ...mlp, bias: mlpBias },
    }),
  });
}
