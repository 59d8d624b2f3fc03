/**
 * The `quantization_config` block of compressed-tensors, as llm-compressor and this project write it.
 *
 * A quantised linear `X` is stored as `X.weight` (`[N, K]`; F8_E4M3, or I8) and `X.weight_scale`: `[N,
 * 1]` for scales per row, `[1]` for one, `[⌈N / rows⌉, ⌈K / cols⌉]` for scales per block, with `W =
 * weight · weight_scale`. Where activations have a static scale it is `X.input_scale`.
 *
 * @module
 */

import { type JsonFields, showJson } from "../io/json.ts";
import { CODE_FORMATS, type CodeFormat } from "../numerics/formats.ts";
import type { BlockShape } from "../numerics/scale_grid.ts";
import type { ModelPlan } from "./plan.ts";
import { FORMATS, type QuantizationConfig, STRATEGIES } from "./quantization_config.ts";
import {
  expectDense,
  expectField,
  expectNothing,
  parseBlock,
  parseModules,
  unsupported,
} from "./quantization_fields.ts";
import { parseTransformConfig } from "./transform_config.ts";

/** The word for scales per block. */
const BLOCK = "block";
/** That for activations with a scale per group of values. */
const GROUP = "group";

/**
 * Reads a block of compressed-tensors.
 *
 * @throws {ModelError} for a scheme that is not supported.
 */
export function parseCompressedTensors(fields: JsonFields, plan: ModelPlan): QuantizationConfig {
  const format = parseFormat(fields);
  expectNothing(fields, "kv_cache_scheme");
  expectDense(fields, "sparsity_config");
  const groups = fields.object("config_groups");
  const names = Object.keys(groups.json);
  if (names.length !== 1) throw unsupported(fields, "config_groups", "a single group");
  const group = groups.object(names[0]);
  if (group.has("format")) expectField(group, "format", FORMATS[format].format);
  if (group.strings("targets").join() !== "Linear") throw unsupported(group, "targets", "Linear");
  expectNothing(group, "output_activations");
  return {
    method: "compressed-tensors",
    format,
    weights: parseWeights(schemeOf(group, "weights", format)),
    ...parseActivations(schemeOf(group, "input_activations", format)),
    decompressed: fields.raw("quantization_status") === "decompressed",
    ignore: parseModules(fields, "ignore"),
    transforms: parseTransformConfig(fields, plan),
  };
}

function parseFormat(fields: JsonFields): CodeFormat {
  const found = CODE_FORMATS.find((format) => FORMATS[format].format === fields.raw("format"));
  if (found !== undefined) return found;
  const wanted = CODE_FORMATS.map((format) => showJson(FORMATS[format].format)).join(" or ");
  throw unsupported(fields, "format", wanted);
}

/** A scheme of a group, with what weights and activations have in common checked. */
function schemeOf(group: JsonFields, name: string, format: CodeFormat): JsonFields {
  if (!group.has(name)) throw unsupported(group, name, "a scheme of 8 bits");
  const fields = group.object(name);
  expectField(fields, "num_bits", 8);
  expectField(fields, "type", FORMATS[format].type);
  if (fields.has("symmetric")) expectField(fields, "symmetric", true);
  return fields;
}

function parseWeights(fields: JsonFields): "row" | "tensor" | BlockShape {
  expectField(fields, "dynamic", false);
  expectNothing(fields, "group_size");
  const strategy = fields.string("strategy", STRATEGIES.weights.tensor);
  if (strategy === BLOCK) return parseBlock(fields, "block_structure");
  expectNothing(fields, "block_structure");
  if (strategy === STRATEGIES.weights.row) return "row";
  if (strategy === STRATEGIES.weights.tensor) return "tensor";
  const { row, tensor } = STRATEGIES.weights;
  throw unsupported(fields, "strategy", `${row}, ${tensor} or ${BLOCK}`);
}

function parseActivations(
  fields: JsonFields,
): Pick<QuantizationConfig, "activations" | "otherActivations"> {
  const { row, tensor } = STRATEGIES.activations;
  const strategy = fields.string("strategy", tensor);
  expectNothing(fields, "block_structure");
  if (!fields.boolean("dynamic", false)) {
    if (strategy !== tensor) throw unsupported(fields, "strategy", `${tensor}, as it is static`);
    return { activations: "row", otherActivations: "static" };
  }
  if (strategy === GROUP) {
    const groupOf = fields.integer("group_size", 1);
    return { activations: "row", otherActivations: { groupOf } };
  }
  expectNothing(fields, "group_size");
  if (strategy === row) return { activations: "row", otherActivations: null };
  if (strategy === tensor) return { activations: "tensor", otherActivations: null };
  throw unsupported(fields, "strategy", `${row}, ${tensor} or ${GROUP}`);
}
