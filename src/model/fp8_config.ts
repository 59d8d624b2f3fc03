/**
 * The `quantization_config` block with `quant_method: fp8`, of transformers (DeepSeek, Qwen, Mistral)
 * and of AutoFP8.
 *
 * A quantised linear `X` is stored as `X.weight` in F8_E4M3 `[N, K]` and `X.weight_scale_inv`, with `W
 * = weight · weight_scale_inv` in spite of its name: one for the weight, or `[⌈N / rows⌉, ⌈K / cols⌉]`
 * where `weight_block_size` is given. A static scale of activations is `X.activation_scale`. AutoFP8
 * calls the two `X.weight_scale` and `X.input_scale`.
 *
 * @module
 */

import type { JsonFields } from "../io/json.ts";
import type { ModelPlan } from "./plan.ts";
import type { QuantizationConfig } from "./quantization_config.ts";
import {
  expectField,
  expectNothing,
  parseBlock,
  parseModules,
  unsupported,
} from "./quantization_fields.ts";
import { parseTransformConfig } from "./transform_config.ts";

/** The lists of modules that are not quantised: that of transformers, and that of AutoFP8. */
const IGNORED = ["modules_to_not_convert", "ignored_layers"];
/** Quantised caches. */
const CACHES = ["kv_cache_scheme", "kv_cache_quant_targets", "kv_cache_quant_method"];

/**
 * Reads a block with `quant_method: fp8`.
 *
 * @throws {ModelError} for a scheme that is not supported.
 */
export function parseFp8(fields: JsonFields, plan: ModelPlan): QuantizationConfig {
  if (fields.has("fmt")) expectField(fields, "fmt", "e4m3");
  for (const name of CACHES) expectNothing(fields, name);
  const scheme = fields.string("activation_scheme", "dynamic");
  if (scheme !== "dynamic" && scheme !== "static") {
    throw unsupported(fields, "activation_scheme", "dynamic or static");
  }
  const block = fields.has("weight_block_size") ? parseBlock(fields, "weight_block_size") : null;
  return {
    method: "fp8",
    format: "fp8",
    weights: block ?? "tensor",
    activations: "row",
    otherActivations: scheme === "static" ? scheme : block && { groupOf: block[1] },
    decompressed: false,
    ignore: IGNORED.flatMap((name) => parseModules(fields, name)),
    transforms: parseTransformConfig(fields, plan),
  };
}
