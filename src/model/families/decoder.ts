/**
 * What the families have in common: the sizes of a config, and the plan of LLaMA's decoder made of
 * sizes, which a family changes where it differs.
 *
 * @module
 */

import type { JsonFields } from "../../io/json.ts";
import type { LayerPlan, ModelPlan, NormPlan, TensorMap } from "../plan.ts";
import { parseRope } from "../rope_config.ts";
import type { RopeScaling } from "../rope_scaling.ts";

/** More layers than this are a damaged file, not a model: the largest have less than 200. */
const MAX_LAYERS = 1000;

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
  readonly ropeTheta: number;
  readonly ropeScaling: RopeScaling;
  readonly tieWordEmbeddings: boolean;
}

/** What a family changes of LLaMA's decoder. */
export interface DecoderChanges {
  /** The class's number of key and value heads where the field is absent. */
  readonly absentKeyValueHeads?: number;
  /** Fields of every layer's attention, such as biases. */
  readonly attention?: Partial<LayerPlan["attention"]>;
  /** Fields of every layer's MLP. */
  readonly mlp?: Partial<LayerPlan["mlp"]>;
}

/**
 * Plans a decoder from a config: LLaMA's, with `changes`.
 *
 * @throws {ModelError} for fields that are missing, of the wrong kind or contradict each other.
 */
export function decoder(fields: JsonFields, changes: DecoderChanges = {}): ModelPlan {
  const sizes = readSizes(fields, changes);
  const rope = parseRope(fields, sizes.headDim);
  const { theta: ropeTheta, scaling: ropeScaling } = rope;
  const plan = decoderPlan({ ...sizes, ropeTheta, ropeScaling });
  const change = (layer: LayerPlan): LayerPlan => ({
    ...layer,
    attention: { ...layer.attention, rope, ...changes.attention },
    mlp: { ...layer.mlp, activation: readActivation(fields), ...changes.mlp },
  });
  return { ...plan, layers: plan.layers.map(change) };
}

/** Plans LLaMA's decoder. */
export function decoderPlan(sizes: DecoderSizes): ModelPlan {
  const { vocabSize, hiddenSize, rmsNormEps: eps, tieWordEmbeddings: tied } = sizes;
  const norm = (tensor: string): NormPlan => ({ kind: "rms", weightOffset: 0, eps, tensor });
  const embedding = { tensor: "model.embed_tokens.weight", scale: 1 };
  return {
    vocabSize,
    hiddenSize,
    embedding,
    layers: Array.from({ length: sizes.numLayers }, (_, i): LayerPlan => {
      const block = `model.layers.${i}`;
      return {
        attention: {
          heads: sizes.numHeads,
          kvHeads: sizes.numKeyValueHeads,
          headDim: sizes.headDim,
          scale: 1 / Math.sqrt(sizes.headDim),
          window: null,
          softCap: null,
          rope: {
            theta: sizes.ropeTheta,
            scaling: sizes.ropeScaling,
            rotatedDims: sizes.headDim,
            interleaved: false,
            factor: 1,
            queryScale: null,
          },
          qkNorm: null,
          bias: { qkv: false, o: false },
        },
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
function linearTensors(block: string, sizes: DecoderSizes): TensorMap {
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

function readSizes(
  fields: JsonFields,
  { absentKeyValueHeads }: DecoderChanges,
): Omit<DecoderSizes, "ropeTheta" | "ropeScaling"> {
  const vocabSize = fields.integer("vocab_size", 1);
  const hiddenSize = fields.integer("hidden_size", 1);
  const numLayers = fields.integer("num_hidden_layers", 1);
  if (numLayers > MAX_LAYERS) throw fields.error("num_hidden_layers", `at most ${MAX_LAYERS}`);
  const numHeads = fields.integer("num_attention_heads", 1);
  // Absent, this means the default of the class; null means one for each query head.
  const absent = fields.isAbsent("num_key_value_heads") ? absentKeyValueHeads : undefined;
  const numKeyValueHeads = fields.integer("num_key_value_heads", 1, absent ?? numHeads);
  if (numHeads % numKeyValueHeads !== 0) {
    throw fields.error("num_key_value_heads", `a divisor of num_attention_heads (${numHeads})`);
  }
  if (!fields.has("head_dim") && hiddenSize % numHeads !== 0) {
    throw fields.error("hidden_size", `a multiple of num_attention_heads (${numHeads})`);
  }
  return {
    vocabSize,
    hiddenSize,
    intermediateSize: fields.integer("intermediate_size", 1),
    numLayers,
    numHeads,
    numKeyValueHeads,
    headDim: fields.integer("head_dim", 1, hiddenSize / numHeads),
    rmsNormEps: fields.positive("rms_norm_eps", 1e-6),
    tieWordEmbeddings: fields.boolean("tie_word_embeddings", false),
  };
}

/** The activation of the gate. Some families store it under a second name; both must then agree. */
function readActivation(fields: JsonFields): "silu" | "geluTanh" {
  const names = ["hidden_act", "hidden_activation"].filter((name) => fields.has(name));
  const found = names.map((name) => {
    const activation = ACTIVATIONS[fields.string(name)];
    if (!activation) {
      throw fields.error(name, "silu", "choose a model with a SwiGLU feed-forward network");
    }
    return activation;
  });
  if (new Set(found).size > 1) throw fields.error(names[1], `the same as ${names[0]}`);
  return found[0] ?? "silu";
}

const ACTIVATIONS: Record<string, "silu" | "geluTanh" | undefined> = {
  silu: "silu",
  swish: "silu",
  gelu_pytorch_tanh: "geluTanh",
  gelu_new: "geluTanh",
};
