/**
 * OLMo 2 and 3: norms behind both branches and none before, norms of all queries and of all keys; 3 has
 * windows, and stretches the context only in the layers without.
 *
 * @module
 */

import type { JsonFields } from "../../io/json.ts";
import type { ModelPlan } from "../plan.ts";
import { decoder, type DecoderChanges, namedNorm, qkNormTensors } from "./decoder.ts";
import { attentionBias, type LayerType, readLayerTypes, windowOf } from "./decoder_fields.ts";

/** `model_type: "olmo2"`. */
export function olmo2(fields: JsonFields): ModelPlan {
  return olmo(fields, null);
}

/** `model_type: "olmo3"`. */
export function olmo3(fields: JsonFields): ModelPlan {
  const types = readLayerTypes(
    fields,
    (i) => (i + 1) % 4 === 0 ? "full_attention" : "sliding_attention",
  );
  return olmo(fields, types, (type) => ({ theta: 5e5, scaled: type === "full_attention" }));
}

function olmo(
  fields: JsonFields,
  layerTypes: readonly LayerType[] | null,
  rope?: DecoderChanges["rope"],
): ModelPlan {
  const bias = attentionBias(fields);
  return decoder(fields, {
    layerTypes: layerTypes ?? undefined,
    rope,
    layer: ({ attention, norms, ...layer }, index, block) => {
      const { eps } = norms.attentionIn!;
      const norm = (name: string) => namedNorm(norms.attentionIn!, block, name);
      return {
        ...layer,
        attention: {
          ...attention,
          bias,
          window: layerTypes ? windowOf(fields, layerTypes[index]) : null,
          qkNorm: {
            over: "width",
            weightOffset: 0,
            eps,
            tensors: qkNormTensors(block),
          },
        },
        norms: {
          attentionIn: null,
          attentionOut: norm("post_attention"),
          mlpIn: null,
          mlpOut: norm("post_feedforward"),
        },
      };
    },
  });
}
