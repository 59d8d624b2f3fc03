/**
 * What the families have in common: the sizes of a config, and the plan of LLaMA's decoder made of
 * sizes, which a family changes where it differs.
 *
 * @module
 */

import type { JsonFields } from "../../io/json.ts";
import type {
  AttentionLayerPlan,
  LayerPlan,
  MlpPlan,
  ModelPlan,
  NormPlan,
  QkNormPlan,
  RopePlan,
} from "../plan.ts";
import type { TensorMap } from "../tensor_map.ts";
import { MOST, RANGES } from "../accepted_sizes.ts";
import { parseRope } from "../rope_config.ts";
import type { RopeOptions } from "../rope_types.ts";

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

/** What a family changes of LLaMA's decoder. */
export interface DecoderChanges {
  /** The kind of every layer's attention, from {@linkcode readLayerTypes}; by default all are alike. */
  readonly layerTypes?: readonly string[];
  /**
   * In what its rotary settings differ from LLaMA's: a function where each type of layers has its
   * own.
   */
  readonly rope?: RopeOptions | ((type: string) => RopeOptions);
  /** The head size of each type of layers, where `rope` is a function. Default that of the config. */
  readonly headDimOf?: (type: string) => number;
  /** The field that names the gate's activation, and other names of activations than the usual. */
  readonly activation?: ActivationSpelling;
  /** The plan of block `index`, whose tensors begin with `block`, from that of LLaMA's. */
  layer?(layer: AttentionLayerPlan, index: number, block: string): LayerPlan;
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

/**
 * Plans a decoder from a config: LLaMA's, with `changes`.
 *
 * @throws {ModelError} for fields that are missing, of the wrong kind or contradict each other.
 */
export function decoder(fields: JsonFields, changes: DecoderChanges = {}): ModelPlan {
  const sizes = readSizes(fields);
  const activation = readActivation(fields, changes.activation);
  const plan = decoderPlan(sizes, ropesOf(fields, sizes, changes));
  return changeLayers(plan, (layer, index, block) => {
    const read = { ...layer, mlp: { ...layer.mlp, activation } };
    return changes.layer?.(read, index, block) ?? read;
  });
}

/** The rotation of each layer, read once for all that share it. */
function ropesOf(
  fields: JsonFields,
  { headDim }: DecoderSizes,
  { rope, layerTypes, headDimOf = () => headDim }: DecoderChanges,
): (layer: number) => RopePlan {
  if (typeof rope !== "function") {
    const same = parseRope(fields, headDim, undefined, rope);
    return () => same;
  }
  const read = new Map(
    [...new Set(layerTypes)].map((
      type,
    ) => [type, parseRope(fields, headDimOf(type), type, rope(type))]),
  );
  return (layer) => read.get(layerTypes![layer])!;
}

/** The plan with every layer replaced by what `change` makes of it. */
export function changeLayers<Layer extends LayerPlan>(
  plan: Omit<ModelPlan, "layers"> & { readonly layers: readonly Layer[] },
  change: (layer: Layer, index: number, block: string) => LayerPlan,
): ModelPlan {
  const layers = plan.layers.map((layer, i) => change(layer, i, `model.layers.${i}`));
  return { ...plan, layers };
}

/** Plans LLaMA's decoder. */
export function decoderPlan(
  sizes: DecoderSizes,
  ropeOf: (layer: number) => RopePlan,
): ModelPlan & { readonly layers: readonly AttentionLayerPlan[] } {
  const { vocabSize, hiddenSize, rmsNormEps: eps, tieWordEmbeddings: tied } = sizes;
  const norm = (tensor: string): NormPlan => ({ kind: "rms", weightOffset: 0, eps, tensor });
  const embedding = { tensor: "model.embed_tokens.weight", scale: 1 };
  return {
    vocabSize,
    hiddenSize,
    embedding,
    layers: Array.from({ length: sizes.numLayers }, (_, i): AttentionLayerPlan => {
      const block = `model.layers.${i}`;
      return {
        attention: {
          heads: sizes.numHeads,
          kvHeads: sizes.numKeyValueHeads,
          headDim: sizes.headDim,
          scale: 1 / Math.sqrt(sizes.headDim),
          window: null,
          softCap: null,
          rope: ropeOf(i),
          qkNorm: null,
          bias: { qkv: false, o: false },
          outputGate: false,
        },
        deltaNet: null,
        mlp: { width: sizes.intermediateSize, activation: "silu", bias: false },
        norms: {
          attentionIn: norm(`${block}.input_layernorm.weight`),
          attentionOut: null,
          mlpIn: norm(`${block}.post_attention_layernorm.weight`),
          mlpOut: null,
        },
        residualScale: 1,
        parallel: false,
        tensors: linearTensors(block, sizes),
      };
    }),
    finalNorm: norm("model.norm.weight"),
    head: { tensor: tied ? embedding.tensor : "lm_head.weight", tied, scale: 1, softCap: null },
  };
}

/** One tensor per linear layer, under LLaMA's names. */
export function linearTensors(
  block: string,
  sizes: Pick<
    DecoderSizes,
    "hiddenSize" | "intermediateSize" | "numHeads" | "numKeyValueHeads" | "headDim"
  >,
): TensorMap & Required<Pick<TensorMap, "k" | "v">> {
  const { hiddenSize, intermediateSize, numHeads, numKeyValueHeads, headDim } = sizes;
  const tensor = (path: string, rows: number) => ({
    name: `${block}.${path}_proj.weight`,
    firstRow: 0,
    rows,
  });
  return {
    q: tensor("self_attn.q", numHeads * headDim),
    k: tensor("self_attn.k", numKeyValueHeads * headDim),
    v: tensor("self_attn.v", numKeyValueHeads * headDim),
    o: tensor("self_attn.o", hiddenSize),
    gate: tensor("mlp.gate", intermediateSize),
    up: tensor("mlp.up", intermediateSize),
    down: tensor("mlp.down", hiddenSize),
  };
}

/** The weights of the norms of queries and keys of a block. */
export function qkNormTensors(block: string): QkNormPlan["tensors"] {
  return { q: `${block}.self_attn.q_norm.weight`, k: `${block}.self_attn.k_norm.weight` };
}

/** A norm like another one of the block, with a weight of its own. */
export function namedNorm(like: NormPlan, block: string, name: string): NormPlan {
  return { ...like, tensor: `${block}.${name}_layernorm.weight` };
}

/** Where weights of several roles are stored as one tensor `name`, one below the other. */
export function fusedRows<Role extends keyof TensorMap>(
  tensors: TensorMap,
  name: string,
  ...roles: Role[]
): Pick<TensorMap, Role> {
  let firstRow = 0;
  const rowsOf = (role: Role) => {
    const { rows } = tensors[role]!;
    const part = { name, firstRow, rows };
    firstRow += rows;
    return [role, part];
  };
  return Object.fromEntries(roles.map(rowsOf));
}

function readSizes(fields: JsonFields): DecoderSizes {
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
function readActivation(
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
