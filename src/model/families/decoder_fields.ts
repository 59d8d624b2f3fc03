/**
 * The fields of a config that the families have in common, read.
 *
 * @module
 */

import type { JsonFields } from "../../io/json.ts";
import { MOST, RANGES } from "../accepted_sizes.ts";
import type { MlpPlan } from "../plan.ts";

/** The numbers that LLaMA's decoder is made of. The names are those of `ModelConfig`. */
export interface DecoderSizes {
  readonly vocabSize: number;
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly numLayers: number;
  readonly numHeads: number;
  readonly numKeyValueHeads: number;
  readonly headDim: number;
  readonly rmsNormEps: number;
  readonly tieWordEmbeddings: boolean;
}

/** How a family says what its gate's activation is. */
export interface ActivationSpelling {
  /** Default `hidden_act`. */
  readonly field?: string;
  /** What names mean that mean something else, or nothing, in other families. */
  readonly names?: Readonly<Record<string, MlpPlan["activation"]>>;
}

/** Attention over all tokens before, or over a window of them. */
export type LayerType = "full_attention" | "sliding_attention";

/** Reads the sizes. */
export function readSizes(fields: JsonFields): DecoderSizes {
  const hiddenSize = readHiddenSize(fields);
  const numHeads = readHeadCount(fields);
  const numKeyValueHeads = fields.integer("num_key_value_heads", 1, numHeads, MOST.heads);
  if (numHeads % numKeyValueHeads !== 0) {
    throw fields.error("num_key_value_heads", `a divisor of num_attention_heads (${numHeads})`);
  }
  if (!fields.has("head_dim") && hiddenSize % numHeads !== 0) {
    throw fields.error("hidden_size", `a multiple of num_attention_heads (${numHeads})`);
  }
  return {
    vocabSize: fields.integer("vocab_size", 1, undefined, MOST.vocabulary),
    hiddenSize,
    intermediateSize: fields.integer("intermediate_size", 1, undefined, MOST.intermediate),
    numLayers: readLayerCount(fields),
    numHeads,
    numKeyValueHeads,
    headDim: fields.integer("head_dim", 1, hiddenSize / numHeads, MOST.headDim),
    rmsNormEps: fields.positive("rms_norm_eps", 1e-6, RANGES.eps),
    tieWordEmbeddings: fields.boolean("tie_word_embeddings", false),
  };
}

/** Reads the number of layers. */
export function readLayerCount(fields: JsonFields): number {
  return fields.integer("num_hidden_layers", 1, undefined, MOST.layers);
}

/** Reads the width of the residual stream. */
export function readHiddenSize(fields: JsonFields): number {
  return fields.integer("hidden_size", 1, undefined, MOST.hidden);
}

/** Reads the number of query heads. */
export function readHeadCount(fields: JsonFields): number {
  return fields.integer("num_attention_heads", 1, undefined, MOST.heads);
}

/**
 * Reads `layer_types`, one for each layer.
 *
 * @param absent The type of layer `index` where the field is absent, as the class has it.
 * @throws {ModelError} for a type that is not known, or another number of them than of layers.
 */
export function readLayerTypes(
  fields: JsonFields,
  absent: (index: number) => LayerType,
): readonly LayerType[];
/** The same, for a family that knows other types. */
export function readLayerTypes<Type extends string>(
  fields: JsonFields,
  absent: (index: number) => Type,
  known: readonly Type[],
): readonly Type[];
export function readLayerTypes(
  fields: JsonFields,
  absent: (index: number) => string,
  known: readonly string[] = ["full_attention", "sliding_attention"],
): readonly string[] {
  const count = readLayerCount(fields);
  if (!fields.has("layer_types")) return Array.from({ length: count }, (_, i) => absent(i));
  const types = fields.strings("layer_types");
  if (types.length !== count) {
    throw fields.error("layer_types", `${count} names, one for each of num_hidden_layers`);
  }
  return types.map((type) => {
    if (known.includes(type)) return type;
    // Granite 4 means the same by it.
    if (type === "attention") return "full_attention";
    throw fields.error(
      "layer_types",
      `${known.join(" or ")} for every layer`,
      `layers of ${type} are not computed, so choose a model without them`,
    );
  });
}

/** The window of a layer: `sliding_window` tokens where its type says so. */
export function windowOf(fields: JsonFields, type: LayerType): number | null {
  return type === "sliding_attention" && fields.has("sliding_window")
    ? fields.integer("sliding_window", 1, undefined, MOST.tokens)
    : null;
}

/** The biases that `attention_bias` asks for: of all four projections, or not of the last. */
export function attentionBias(
  fields: JsonFields,
  { of = "qkvo" }: { of?: "qkv" | "qkvo" } = {},
): { qkv: boolean; o: boolean } {
  const qkv = fields.boolean("attention_bias", false);
  return { qkv, o: qkv && of === "qkvo" };
}

/** The activation of the gate. */
export function readActivation(
  fields: JsonFields,
  { field = "hidden_act", names }: ActivationSpelling = {},
): MlpPlan["activation"] {
  if (!fields.has(field)) return "silu";
  const known = { ...ACTIVATIONS, ...names };
  const name = fields.string(field);
  if (Object.hasOwn(known, name)) return known[name]!;
  throw fields.error(
    field,
    Object.keys(known).join(", "),
    "choose a model whose feed-forward network has one of these gates",
  );
}

const ACTIVATIONS: Readonly<Record<string, MlpPlan["activation"] | undefined>> = {
  silu: "silu",
  swish: "silu",
  gelu_pytorch_tanh: "geluTanh",
  gelu_new: "geluTanh",
};
