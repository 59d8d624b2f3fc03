/** A tiny model with fused weights, and the same weights one by one. */

import { join } from "node:path";
import { fromFloat32, toFloat32 } from "../../src/io/dtype.ts";
import { writeTinyModel } from "./tiny_model.ts";

/** q, k and v of 60, 20 and 20 rows, gate and up of 44: none ends at a multiple of 16. */
const ROWS = {
  "self_attn.qkv_proj": [["self_attn.q_proj", 60], ["self_attn.k_proj", 20], [
    "self_attn.v_proj",
    20,
  ]],
  "mlp.gate_up_proj": [["mlp.gate_proj", 44], ["mlp.up_proj", 44]],
} as const;

/** Fields that make it Phi-3's. */
export const FUSED_CONFIG = {
  model_type: "phi3",
  sliding_window: null,
  original_max_position_embeddings: 64,
  pad_token_id: 0,
};

/**
 * Writes a model of Phi-3's to `folder`, of values that BF16 has.
 *
 * @param partial Of which share of a head the first components turn.
 */
export function writeFusedModel(folder: string, partial = 1): Promise<void> {
  const rope = { rope_theta: 1e4, rope_type: "default", partial_rotary_factor: partial };
  const edit = (_: string, values: Float32Array) =>
    values.set(toFloat32(fromFloat32(Float32Array.from(values), "BF16"), "BF16"));
  return writeTinyModel(folder, { config: { ...FUSED_CONFIG, rope_parameters: rope }, edit });
}

/** Writes a model to `folder`/fused, and as a LLaMA of the same weights to `folder`/plain. */
export async function writeTwins(folder: string): Promise<void> {
  const weights = new Map<string, Float32Array>();
  for (const name of ["fused", "plain"]) await Deno.mkdir(join(folder, name));
  await writeTinyModel(join(folder, "fused"), {
    config: FUSED_CONFIG,
    edit: (name, values) => weights.set(name, values),
  });
  const parts = splitFused(weights);
  await writeTinyModel(join(folder, "plain"), {
    edit: (name, values) => values.set(parts.get(name)!),
  });
}

/** Values by name of a fused model as those of a plain one. */
export function splitFused<T extends Float32Array>(values: ReadonlyMap<string, T>): Map<string, T> {
  const parts = new Map(values);
  for (const [name, fused] of values) {
    const entry = Object.entries(ROWS).find(([module]) => name.includes(module));
    if (!entry) continue;
    const [module, matrices] = entry;
    const cols = fused.length / matrices.reduce((sum, [, rows]) => sum + rows, 0);
    parts.delete(name);
    let end = 0;
    for (const [part, rows] of matrices) {
      const start = end;
      end += rows * cols;
      parts.set(name.replace(module, part), fused.slice(start, end) as T);
    }
  }
  return parts;
}
