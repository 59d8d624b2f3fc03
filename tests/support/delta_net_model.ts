/** A tiny model with delta nets and gated attention. */

import { fromFloat32, toFloat32 } from "../../src/io/dtype.ts";
import { writeTinyModel } from "./tiny_model.ts";

/**
 * Fields that make it Qwen 3.5's: a delta net, attention, and one more, with three value heads for each key head, and
 * sizes that are no multiples of four.
 */
export const DELTA_NET_CONFIG = {
  model_type: "qwen3_5_text",
  num_hidden_layers: 3,
  layer_types: ["linear_attention", "full_attention", "linear_attention"],
  head_dim: 16,
  linear_num_key_heads: 2,
  linear_num_value_heads: 6,
  linear_key_head_dim: 10,
  linear_value_head_dim: 9,
  // The output of a delta net for a first token is normed: this keeps the norm from dividing by what is left of zero.
  rms_norm_eps: 0.1,
};

/** Writes such a model to `folder`, of values that BF16 has. */
export function writeDeltaNetModel(folder: string): Promise<void> {
  const edit = (name: string, values: Float32Array) => {
    // Norms multiply by 1 + weight, but for the gated one; decays are neither 0 nor 1.
    const shift = /norm.weight$/.test(name) && !name.endsWith("linear_attn.norm.weight") ||
      /A_log|dt_bias/.test(name);
    const rounded = fromFloat32(values.map((value) => shift ? value - 1 : value), "BF16");
    values.set(toFloat32(rounded, "BF16"));
  };
  return writeTinyModel(folder, { config: DELTA_NET_CONFIG, edit });
}
