/**
 * GLM-4 of April 2025: LLaMA's decoder with norms behind both branches too, biases of queries, keys and
 * values, gate and up stored as one weight, and rotation of half a head in neighbouring components.
 *
 * @module
 */

import type { JsonFields } from "../../io/json.ts";
import type { ModelPlan } from "../plan.ts";
import { decoder, fusedRows, namedNorm } from "./decoder.ts";
import { attentionBias } from "./decoder_fields.ts";

/** `model_type: "glm4"`: 9B and 32B of 0414. */
export function glm4(fields: JsonFields): ModelPlan {
  const bias = attentionBias(fields, { of: "qkv" });
  return decoder(fields, {
    rope: { partialRotaryFactor: 0.5, interleaved: true },
    layer: ({ attention, norms, tensors, ...layer }, _, block) => {
      const norm = (name: string) => namedNorm(norms.attentionIn!, block, name);
      return {
        ...layer,
        attention: {
          ...attention,
          bias,
        },
        norms: {
          ...norms,
          attentionOut: norm("post_self_attn"),
          mlpOut: norm("post_mlp"),
        },
        tensors: {
          ...tensors,
          ...fusedRows(tensors, `${block}.mlp.gate_up_proj.weight`, "gate", "up"),
        },
      };
    },
  });
}
