/**
 * What the `quantization_config` block of an 8-bit model folder says, and the block that this project
 * writes: that of compressed-tensors, which vLLM, SGLang and transformers load. `read_quantization.ts`
 * reads it and the blocks of others.
 *
 * @module
 */

import type { CodeFormat } from "../numerics/formats.ts";
import type { BlockShape } from "../numerics/scale_grid.ts";
import type { Transforms } from "./transform_config.ts";

/** The `quant_method` of a block: the library's, or that of transformers, DeepSeek and AutoFP8. */
export type QuantizationMethod = "compressed-tensors" | "fp8";

/**
 * Scales of activations that are stored in the files, one per layer, or that groups of so many values
 * of a token have. Here, scales are found for each token as it comes.
 */
export type OtherActivations = "static" | { readonly groupOf: number };

/** How the linear layers of a model are quantised. */
export interface QuantizationConfig {
  /** Whose files these are: it decides what scales are called. */
  readonly method: QuantizationMethod;
  /** The format of weights and of activations. */
  readonly format: CodeFormat;
  /** One scale per output row of a weight, one per weight, or one per block of rows and columns. */
  readonly weights: "row" | "tensor" | BlockShape;
  /** One scale per token, or one for all tokens of a step. */
  readonly activations: "row" | "tensor";
  /** How activations are scaled where the files ask for what is not done here; null elsewhere. */
  readonly otherActivations: OtherActivations | null;
  /**
   * Whether the weights were decoded before they were saved, as transformers does after a model ran:
   * their scales are still in the files then, and mean nothing.
   */
  readonly decompressed: boolean;
  /** The modules that are not quantised: names, or regular expressions after `re:`. */
  readonly ignore: readonly string[];
  /** The layers whose inputs are rotated before they are quantised. */
  readonly transforms: Transforms;
}

/** The words of compressed-tensors for the scale granularities. */
export const STRATEGIES = {
  weights: { row: "channel", tensor: "tensor" },
  activations: { row: "token", tensor: "tensor" },
} as const;

/** Its words for the formats. */
export const FORMATS: Readonly<Record<CodeFormat, { format: string; type: string }>> = {
  fp8: { format: "float-quantized", type: "float" },
  int8: { format: "int-quantized", type: "int" },
};

/** What a quantised model is, to be written. */
export type WrittenQuantization =
  & { format: CodeFormat; weights: "row" | "tensor"; activations: "row" | "tensor" }
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
