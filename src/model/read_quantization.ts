/**
 * Reads the `quantization_config` block of a model folder, of every kind that is supported.
 *
 * @module
 */

import type { JsonFields } from "../io/json.ts";
import { parseCompressedTensors } from "./compressed_tensors_config.ts";
import { parseFp8 } from "./fp8_config.ts";
import type { ModelPlan } from "./plan.ts";
import { unsupported } from "./quantization_fields.ts";
import type { QuantizationConfig, QuantizationMethod } from "./quantization_config.ts";

const PARSERS: Readonly<
  Record<QuantizationMethod, (fields: JsonFields, plan: ModelPlan) => QuantizationConfig>
> = {
  "compressed-tensors": parseCompressedTensors,
  fp8: parseFp8,
};

/**
 * Reads a `quantization_config` block.
 *
 * @throws {ModelError} for any scheme but weights in FP8 or int8 with symmetric scales.
 */
export function parseQuantizationConfig(fields: JsonFields, plan: ModelPlan): QuantizationConfig {
  const method = fields.raw("quant_method");
  if (typeof method === "string" && Object.hasOwn(PARSERS, method)) {
    return PARSERS[method as QuantizationMethod](fields, plan);
  }
  throw unsupported(fields, "quant_method", Object.keys(PARSERS).join(" or "));
}

/**
 * What users should know of a quantised model that is loaded: one sentence each.
 */
export function quantizationNotices({ otherActivations }: QuantizationConfig): string[] {
  if (otherActivations === null) return [];
  const stored = otherActivations === "static"
    ? "the model's stored scales of activations are not used"
    : `the model wants a scale for each ${otherActivations.groupOf} values of an activation`;
  return [`${stored}: where activations are rounded, each token has one scale, found as it comes`];
}
