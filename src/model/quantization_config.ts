/**
 * The `quantization_config` block of an FP8 model folder, in the compressed-tensors format that
 * vLLM, SGLang and transformers load. A quantised linear `X` is stored as `X.weight` (F8_E4M3,
 * `[N, K]`) and `X.weight_scale` (`[N, 1]` for row scales, `[1]` for one scale per tensor), with
 * `W = weight · weight_scale`; its activations are quantised as they come, so have no scale.
 *
 * @module
 */

import { ModelError } from "../errors.ts";
import { isJsonObject, type JsonFields, showJson } from "../io/json.ts";

/** How finely the FP8 values of a model are scaled, and what is left unquantised. */
export interface QuantizationConfig {
  /** One scale per output row of a weight, or one per weight. */
  readonly weights: "row" | "tensor";
  /** One scale per token, or one for all tokens of a step. */
  readonly activations: "row" | "tensor";
  /** The modules that are not quantised: names, or regular expressions after `re:`. */
  readonly ignore: readonly string[];
}

/** The words of compressed-tensors for the scale granularities. */
const STRATEGIES = {
  weights: { row: "channel", tensor: "tensor" },
  activations: { row: "token", tensor: "tensor" },
} as const;

/**
 * The `quantization_config` to store with FP8 weights, with every field spelled out as the
 * compressed-tensors library writes them (its preset FP8_DYNAMIC, for row scales).
 *
 * @param scaling The granularities, and the modules left out: by default only `lm_head`.
 */
export function fp8QuantizationConfig(
  { weights, activations, ignore = ["lm_head"] }:
    & Omit<QuantizationConfig, "ignore">
    & Partial<Pick<QuantizationConfig, "ignore">>,
): Record<string, unknown> {
  const common = {
    num_bits: 8,
    type: "float",
    symmetric: true,
    group_size: null,
    block_structure: null,
    actorder: null,
    observer_kwargs: {},
  };
  return {
    quant_method: "compressed-tensors",
    format: "float-quantized",
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
  };
}

/**
 * Reads a `quantization_config` block.
 *
 * @throws {ModelError} for any scheme but FP8 weights with dynamically quantised FP8 activations.
 */
export function parseQuantizationConfig(fields: JsonFields): QuantizationConfig {
  expect(fields, "quant_method", "compressed-tensors");
  expect(fields, "format", "float-quantized");
  expectAbsent(fields, "kv_cache_scheme");
  expectNothing(fields, "sparsity_config");
  expectNothing(fields, "transform_config");

  const groups = fields.object("config_groups");
  const names = Object.keys(groups.json);
  if (names.length !== 1) throw unsupported(fields, "config_groups", "a single group");
  const group = groups.object(names[0]);
  if (group.strings("targets").join() !== "Linear") throw unsupported(group, "targets", "Linear");
  expectAbsent(group, "output_activations");

  const quantization = {
    weights: parseFp8(group.object("weights"), false, STRATEGIES.weights),
    activations: parseFp8(group.object("input_activations"), true, STRATEGIES.activations),
    ignore: fields.strings("ignore", []),
  };
  if (!isIgnored(quantization, "lm_head", fields.where)) {
    throw unsupported(fields, "ignore", "a list with lm_head, which must not be quantized");
  }
  return quantization;
}

function parseFp8(
  fields: JsonFields,
  dynamic: boolean,
  strategies: Record<"row" | "tensor", string>,
): "row" | "tensor" {
  expect(fields, "num_bits", 8);
  expect(fields, "type", "float");
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

/** Whether `module` is named by the ignore list, by its name or by a regular expression. */
function isIgnored({ ignore }: QuantizationConfig, module: string, where: string): boolean {
  return ignore.some((entry) => {
    if (!entry.startsWith("re:")) return entry === module;
    try {
      return new RegExp(`^(?:${entry.slice(3)})`).test(module);
    } catch (error) {
      throw new ModelError(
        `ignore in ${where} must hold names and regular expressions: found ${showJson(entry)} ` +
          `(${(error as Error).message}); repair the entry`,
      );
    }
  });
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
    "of quantized models only compressed-tensors FP8 with dynamic activations is supported, so " +
      "choose such a model or the unquantized one",
  );
}
