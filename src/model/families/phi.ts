/**
 * Phi-3, 3.5-mini, 4 and 4-mini: LLaMA's decoder with q, k and v stored as one weight, and gate and up
 * as one, which are one linear layer each to adapters.
 *
 * @module
 */

import type { JsonFields } from "../../io/json.ts";
import { MOST } from "../accepted_sizes.ts";
import type { ModelPlan } from "../plan.ts";
import { decoder, fusedRows } from "./decoder.ts";
import { windowOf } from "./decoder_fields.ts";

/** `model_type: "phi3"`. */
export function phi3(fields: JsonFields): ModelPlan {
  const window = windowOf(fields, "sliding_attention");
  return decoder(fields, {
    rope: {
      partialRotaryFactor: 1,
      originalMaxPositionEmbeddings: fields.integer(
        "original_max_position_embeddings",
        1,
        4096,
        MOST.tokens,
      ),
      yarnIsLongrope: true,
    },
    layer: ({ attention, tensors, ...layer }, _, block) => ({
      ...layer,
      attention: { ...attention, window },
      tensors: {
        ...tensors,
        ...fusedRows(tensors, `${block}.self_attn.qkv_proj.weight`, "q", "k", "v"),
        ...fusedRows(tensors, `${block}.mlp.gate_up_proj.weight`, "gate", "up"),
      },
    }),
  });
}
