/**
 * Granite 3, and the dense models of Granite 4: LLaMA's decoder with factors of the embedding, both
 * branches, the attention scores and the logits.
 *
 * @module
 */

import type { JsonFields } from "../../io/json.ts";
import { MOST, RANGES } from "../accepted_sizes.ts";
import type { ModelPlan } from "../plan.ts";
import { changeLayers, decoder, fusedRows } from "./decoder.ts";
import { attentionBias, readLayerTypes } from "./decoder_fields.ts";

/** `model_type: "granite"`. */
export function granite(fields: JsonFields): ModelPlan {
  const bias = attentionBias(fields);
  const mlpBias = fields.boolean("mlp_bias", false);
  const scale = fields.positive("attention_multiplier", 1, RANGES.factor);
  const residualScale = fields.positive("residual_multiplier", 1, RANGES.factor);
  const plan = decoder(fields, {
    layer: ({ attention, mlp, ...layer }) => ({
      ...layer,
      attention: { ...attention, bias, scale },
      mlp: { ...mlp, bias: mlpBias },
      residualScale,
    }),
  });
  return {
    ...plan,
    embedding: {
      ...plan.embedding,
      scale: fields.positive("embedding_multiplier", 1, RANGES.factor),
    },
    head: { ...plan.head, scale: 1 / fields.positive("logits_scaling", 1, RANGES.factor) },
  };
}

/**
 * `model_type: "granitemoehybrid"`, where it has neither experts nor Mamba layers: the MLP has other
 * names, and rotation is an option.
 */
export function graniteHybrid(fields: JsonFields): ModelPlan {
  const experts = fields.integer("num_local_experts", 0, 8);
  if (experts > 0) {
    throw fields.error(
      "num_local_experts",
      "0",
      "choose a dense model of the family, such as Granite 4.0 Micro, 1B or 350M",
    );
  }
  // The class takes every layer for Mamba's where the field is absent.
  if (!fields.has("layer_types")) {
    throw fields.error("layer_types", "attention for every layer", "choose a model without Mamba");
  }
  const types = readLayerTypes(fields, () => "full_attention");
  // Sizes of Mamba layers, of which there are none, and of experts.
  for (const name of Object.keys(fields.json)) {
    if (/^mamba_|^num_experts_per_tok$|^router_/.test(name)) fields.raw(name);
  }
  if (types.includes("sliding_attention")) {
    throw fields.error("layer_types", "attention for every layer");
  }
  const width = fields.integer("shared_intermediate_size", 1, 1024, MOST.intermediate);
  const rotates = readRotation(fields);
  const plan = granite(fields);
  return changeLayers(plan, ({ attention, mlp, tensors, ...layer }, _, block) => {
    const sized = {
      ...tensors,
      gate: { ...tensors.gate, rows: width },
      up: { ...tensors.up, rows: width },
    };
    return {
      ...layer,
      attention: attention && { ...attention, rope: rotates ? attention.rope : null },
      mlp: { ...mlp, width },
      tensors: {
        ...sized,
        ...fusedRows(sized, `${block}.shared_mlp.input_linear.weight`, "gate", "up"),
        down: { ...tensors.down, name: `${block}.shared_mlp.output_linear.weight` },
      },
    };
  });
}

function readRotation(fields: JsonFields): boolean {
  if (!fields.has("position_embedding_type")) return false;
  const type = fields.string("position_embedding_type");
  if (type === "rope") return true;
  if (type === "nope") return false;
  throw fields.error("position_embedding_type", "rope, nope or absent");
}
