/**
 * LLaMA, and Mistral, which is the same decoder with other defaults.
 *
 * @module
 */

import type { JsonFields } from "../../io/json.ts";
import type { ModelPlan } from "../plan.ts";
import { decoder } from "./decoder.ts";

/** The window and the key heads of a Mistral config that does not give them: those of its class. */
const MISTRAL = { window: 4096, keyValueHeads: 8 };

/** `model_type: "llama"`: Llama 2 and 3, SmolLM2, TinyLlama, Yi, the R1 distills of Llama. */
export function llama(fields: JsonFields): ModelPlan {
  const bias = fields.boolean("attention_bias", false);
  return decoder(fields, {
    attention: { bias: { qkv: bias, o: bias } },
    mlp: { bias: fields.boolean("mlp_bias", false) },
  });
}

/** `model_type: "mistral"`. */
export function mistral(fields: JsonFields): ModelPlan {
  const window = fields.isAbsent("sliding_window")
    ? MISTRAL.window
    : fields.has("sliding_window")
    ? fields.integer("sliding_window", 1)
    : null;
  return decoder(fields, {
    absentKeyValueHeads: MISTRAL.keyValueHeads,
    attention: { window },
  });
}
