/**
 * Gemma 1 to 3: norms by 1 + weight, a GELU gate, an embedding that is scaled by √hidden_size; from 2
 * on norms behind both branches, windows and caps; in 3 norms of queries and keys in place of the caps.
 *
 * @module
 */

import type { JsonFields } from "../../io/json.ts";
import { RANGES } from "../accepted_sizes.ts";
import type { AttentionLayerPlan, ModelPlan, NormPlan } from "../plan.ts";
import { decoder, type DecoderChanges, namedNorm, qkNormTensors } from "./decoder.ts";
import { attentionBias, type LayerType, readLayerTypes, windowOf } from "./decoder_fields.ts";

/** `model_type: "gemma"`. */
export function gemma(fields: JsonFields): ModelPlan {
  const bias = attentionBias(fields);
  fields.raw("hidden_activation"); // older files have it; the class reads the other
  return gemmaDecoder(fields, {
    // The first files say gelu and mean its approximation.
    activation: { names: { gelu: "geluTanh" } },
    layer: ({ attention, ...layer }) => ({ ...layer, attention: { ...attention, bias } }),
  });
}

/** `model_type: "gemma2"`. */
export function gemma2(fields: JsonFields): ModelPlan {
  const layerTypes = readLayerTypes(fields, (i) => i % 2 === 0 ? "sliding_attention" : FULL);
  const softCap = readCap(fields, "attn_logit_softcapping");
  return sandwich(fields, layerTypes, ({ attention, ...layer }) => ({
    ...layer,
    attention: { ...attention, softCap },
  }));
}

/** `model_type: "gemma3_text"`: the text model of Gemma 3. */
export function gemma3(fields: JsonFields): ModelPlan {
  const older = fields.integer("_sliding_window_pattern", 1, 6);
  const pattern = fields.integer("sliding_window_pattern", 1, older);
  const layerTypes = readLayerTypes(
    fields,
    (i) => (i + 1) % pattern === 0 ? FULL : "sliding_attention",
  );
  fields.raw("attn_logit_softcapping"); // the class has it, and caps no scores
  return sandwich(
    fields,
    layerTypes,
    ({ attention, ...layer }, _, block) => ({
      ...layer,
      attention: {
        ...attention,
        qkNorm: {
          over: "head",
          weightOffset: 1,
          eps: layer.norms.attentionIn!.eps,
          tensors: qkNormTensors(block),
        },
      },
    }),
    (type) =>
      type === FULL
        ? { theta: 1e6 }
        : { theta: 1e4, thetaField: "rope_local_base_freq", scaled: false },
  );
}

const FULL: LayerType = "full_attention";

/** What Gemma 2 and 3 share. */
function sandwich(
  fields: JsonFields,
  layerTypes: readonly LayerType[],
  layer: NonNullable<DecoderChanges["layer"]>,
  rope?: DecoderChanges["rope"],
): ModelPlan {
  const bias = attentionBias(fields);
  const scale = 1 / Math.sqrt(fields.positive("query_pre_attn_scalar", 256, RANGES.factor));
  fields.raw("hidden_act"); // older files have it; the class reads the other
  const plan = gemmaDecoder(fields, {
    layerTypes,
    rope,
    activation: { field: "hidden_activation" },
    layer: ({ attention, norms, ...rest }, index, block) => {
      const norm = (name: string) => namedNorm(norms.attentionIn!, block, name);
      const window = windowOf(fields, layerTypes[index]);
      const changed: AttentionLayerPlan = {
        ...rest,
        attention: { ...attention, bias, scale, window },
        norms: {
          attentionIn: norms.attentionIn,
          attentionOut: norm("post_attention"),
          mlpIn: norm("pre_feedforward"),
          mlpOut: norm("post_feedforward"),
        },
      };
      return layer(changed, index, block);
    },
  });
  const softCap = readCap(fields, "final_logit_softcapping");
  return { ...plan, head: { ...plan.head, softCap } };
}

/** LLaMA's decoder with the norms and the embedding of all Gemmas. */
function gemmaDecoder(fields: JsonFields, changes: DecoderChanges): ModelPlan {
  if (fields.boolean("use_bidirectional_attention", false)) {
    throw fields.error(
      "use_bidirectional_attention",
      "false",
      "choose a model that attends to earlier tokens only: this one makes embeddings of texts",
    );
  }
  const plan = decoder(fields, {
    ...changes,
    layer: (layer, index, block) => {
      const { attentionIn, mlpIn } = layer.norms;
      const norms = { ...layer.norms, attentionIn: offset(attentionIn!), mlpIn: offset(mlpIn!) };
      return changes.layer!({ ...layer, norms }, index, block);
    },
  });
  return {
    ...plan,
    // As in transformers with weights in f32. With weights in bf16 it rounds this factor to bf16 too: √3072 to 55.5.
    embedding: { ...plan.embedding, scale: Math.sqrt(plan.hiddenSize) },
    finalNorm: offset(plan.finalNorm),
  };
}

function offset(norm: NormPlan): NormPlan {
  return { ...norm, weightOffset: 1 };
}

/** A cap: null where there is none. */
export function readCap(fields: JsonFields, name: string): number | null {
  return fields.has(name) ? fields.positive(name, undefined, RANGES.factor) : null;
}
