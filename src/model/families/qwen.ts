/**
 * Qwen: LLaMA's decoder with biases of queries, keys and values (2, 2.5), or norms of queries and
 * keys (3).
 *
 * @module
 */

import type { JsonFields } from "../../io/json.ts";
import type { ModelPlan } from "../plan.ts";
import { attentionBias, decoder, type LayerType, readLayerTypes, windowOf } from "./decoder.ts";

/** `model_type: "qwen2"`: Qwen 2 and 2.5, the R1 distills of Qwen. */
export function qwen2(fields: JsonFields): ModelPlan {
  const layerTypes = windowedFromLayer(fields);
  return decoder(fields, {
    layerTypes,
    layer: ({ attention, ...layer }, index) => ({
      ...layer,
      attention: {
        ...attention,
        bias: { qkv: true, o: false },
        window: windowOf(fields, layerTypes[index]),
      },
    }),
  });
}

/** `model_type: "qwen3"`: the dense models of Qwen 3. */
export function qwen3(fields: JsonFields): ModelPlan {
  const layerTypes = windowedFromLayer(fields);
  const bias = attentionBias(fields);
  return decoder(fields, {
    layerTypes,
    layer: ({ attention, ...layer }, index, block) => ({
      ...layer,
      attention: {
        ...attention,
        bias,
        window: windowOf(fields, layerTypes[index]),
        qkNorm: {
          over: "head",
          weightOffset: 0,
          eps: layer.norms.attentionIn!.eps,
          tensors: { q: `${block}.self_attn.q_norm.weight`, k: `${block}.self_attn.k_norm.weight` },
        },
      },
    }),
  });
}

/** Layers from `max_window_layers` on have the window, where it is used at all. */
function windowedFromLayer(fields: JsonFields): readonly LayerType[] {
  const uses = fields.boolean("use_sliding_window", false);
  const first = fields.integer("max_window_layers", 0, 28);
  const types = readLayerTypes(
    fields,
    (i) =>
      uses && fields.has("sliding_window") && i >= first ? "sliding_attention" : "full_attention",
  );
  fields.raw("sliding_window"); // read, and of no meaning where it is not used
  return uses ? types : types.map(() => "full_attention");
}
