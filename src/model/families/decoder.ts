/**
 * What the families have in common: the plan of LLaMA's decoder made of sizes, which a family changes
 * where it differs.
 *
 * @module
 */

import type { JsonFields } from "../../io/json.ts";
import type {
  AttentionLayerPlan,
  LayerPlan,
  ModelPlan,
  NormPlan,
  QkNormPlan,
  RopePlan,
} from "../plan.ts";
import type { TensorMap } from "../tensor_map.ts";
import { parseRope } from "../rope_config.ts";
import type { RopeOptions } from "../rope_types.ts";
import {
  type ActivationSpelling,
  type DecoderSizes,
  readActivation,
  readSizes,
} from "./decoder_fields.ts";

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
