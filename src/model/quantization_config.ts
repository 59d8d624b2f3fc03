/**
 * The `quantization_config` block of an 8-bit model folder, in the compressed-tensors format that
 * vLLM, SGLang and transformers load. A quantised linear `X` is stored as `X.weight` (`[N, K]`;
 * F8_E4M3, or I8 from −127 to 127) and `X.weight_scale` (`[N, 1]` for row scales, `[1]` for one
 * scale per tensor), with `W = weight · weight_scale`; its activations are quantised as they come,
 * so have no scale.
 *
 * @module
 */

import type { ModelError } from "../errors.ts";
import { isJsonObject, type JsonFields, showJson } from "../io/json.ts";
import { CODE_FORMATS, type CodeFormat } from "../numerics/formats.ts";
import { namesModule } from "./module_patterns.ts";
import type { ModelPlan } from "./plan.ts";
import { parseTransformConfig, type Transforms } from "./transform_config.ts";

/** How the linear layers of a model are quantised. */
export interface QuantizationConfig {
  /** The format of weights and of activations. */
  readonly format: CodeFormat;
  /** One scale per output row of a weight, or one per weight. */
  readonly weights: "row" | "tensor";
  /** One scale per token, or one for all tokens of a step. */
  readonly activations: "row" | "tensor";
  /** The modules that are not quantised: names, or regular expressions after `re:`. */
  readonly ignore: readonly string[];
  /** The layers whose inputs are rotated before they are quantised. */
  readonly transforms: Transforms;
}

/** The words of compressed-tensors for the scale granularities. */
const STRATEGIES = {
  weights: { row: "channel", tensor: "tensor" },
  activations: { row: "token", tensor: "tensor" },
} as const;

/** Its words for the formats. */
const FORMATS: Readonly<Record<CodeFormat, { format: string; type: string }>> = {
  fp8: { format: "float-quantized", type: "float" },
  int8: { format: "int-quantized", type: "int" },
};

/** What a quantised model is, to be written. */
export type WrittenQuantization =
  & Pick<QuantizationConfig, "format" | "weights" | "activations">
  & Partial<Pick<QuantizationConfig, "ignore">>
  & { transformConfig?: Record<string, unknown> };

/**
 * The `quantization_config` to store with codes, with every field spelled out as the
 * compressed-tensors library writes them (for row scales its presets FP8_DYNAMIC and W8A8).
 *
 * @param scheme The format, the granularities, the modules left out (by default only `lm_head`),
 * and a `transform_config`, if there is one.
 */
export function quantizationBlock(
  { format, weights, activations, ignore = ["lm_head"], transformConfig }: WrittenQuantization,
): Record<string, unknown> {
  const common = {
    num_bits: 8,
    type: FORMATS[format].type,
    symmetric: true,
    group_size: null,
    block_structure: null,
    actorder: null,
    observer_kwargs: {},
  };
  return {
    quant_method: "compressed-tensors",
    format: FORMATS[format].format,
    quantization_status: "compressed",
    config_groups: {
      group_0: {
        targets: ["Linear"],
        weights: {
          ...common,
          strategy: STRATEGIES.weights[weights],
          dynamic: false,
          observer: "minmax",
        },
        input_activations: {
          ...common,
          strategy: STRATEGIES.activations[activations],
          dynamic: true,
          observer: null,
        },
        output_activations: null,
      },
    },
    ignore: [...ignore],
    kv_cache_scheme: null,
    global_compression_ratio: null,
    ...transformConfig && { transform_config: transformConfig },
  };
}

/**
 * Reads a `quantization_config` block.
 *
 * @throws {ModelError} for any scheme but weights in FP8 or int8 with activations quantised
 * dynamically in the same format.
 */
export function parseQuantizationConfig(fields: JsonFields, plan: ModelPlan): QuantizationConfig {
  expect(fields, "quant_method", "compressed-tensors");
  const format = parseFormat(fields);
  expectAbsent(fields, "kv_cache_scheme");
  expectNothing(fields, "sparsity_config");

  const groups = fields.object("config_groups");
  const names = Object.keys(groups.json);
  if (names.length !== 1) throw unsupported(fields, "config_groups", "a single group");
  const group = groups.object(names[0]);
  if (group.has("format")) expect(group, "format", FORMATS[format].format);
  if (group.strings("targets").join() !== "Linear") throw unsupported(group, "targets", "Linear");
  expectAbsent(group, "output_activations");

  const of = (name: string) => ({ fields: group.object(name), format });
  const quantization = {
    format,
    weights: parseScheme({ ...of("weights"), dynamic: false }, STRATEGIES.weights),
    activations: parseScheme({ ...of("input_activations"), dynamic: true }, STRATEGIES.activations),
    ignore: fields.strings("ignore", []),
    transforms: parseTransformConfig(fields, plan),
  };
  const where = `ignore in ${fields.where}`;
  if (!quantization.ignore.some((entry) => namesModule(entry, "lm_head", where))) {
    throw unsupported(fields, "ignore", "a list with lm_head, which must not be quantized");
  }
  return quantization;
}

function parseFormat(fields: JsonFields): CodeFormat {
  const found = CODE_FORMATS.find((format) => FORMATS[format].format === fields.raw("format"));
  if (found !== undefined) return found;
  const wanted = CODE_FORMATS.map((format) => showJson(FORMATS[format].format)).join(" or ");
  throw unsupported(fields, "format", wanted);
}

function parseScheme(
  { fields, format, dynamic }: { fields: JsonFields; format: CodeFormat; dynamic: boolean },
  strategies: Record<"row" | "tensor", string>,
): "row" | "tensor" {
  expect(fields, "num_bits", 8);
  expect(fields, "type", FORMATS[format].type);
  expect(fields, "dynamic", dynamic);
  if (fields.has("symmetric")) expect(fields, "symmetric", true);
  expectAbsent(fields, "group_size");
  expectAbsent(fields, "block_structure");
  const strategy = fields.string("strategy", "tensor");
  for (const scaling of ["row", "tensor"] as const) {
    if (strategies[scaling] === strategy) return scaling;
  }
  throw unsupported(fields, "strategy", `${strategies.row} or ${strategies.tensor}`);
}

function expect(fields: JsonFields, name: string, wanted: unknown): void {
  if (fields.json[name] !== wanted) throw unsupported(fields, name, showJson(wanted));
}

function expectAbsent(fields: JsonFields, name: string): void {
  if (fields.has(name)) throw unsupported(fields, name, "absent or null");
}

/** As {@linkcode expectAbsent}; newer versions of the library write an empty object for nothing. */
function expectNothing(fields: JsonFields, name: string): void {
  const value = fields.raw(name);
  if (isJsonObject(value) && Object.keys(value).length === 0) return;
  expectAbsent(fields, name);
}

function unsupported(fields: JsonFields, name: string, wanted: string): ModelError {
  return fields.error(
    name,
    wanted,
    "of quantized models only compressed-tensors FP8 and int8 with dynamic activations are " +
      "supported, so " +
      "choose such a model or the unquantized one",
  );
}
