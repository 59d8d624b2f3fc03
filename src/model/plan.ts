/**
 * The architecture of a decoder as data. A family (see `families/`) makes a plan from the fields of
 * a `config.json`; everything that must know the architecture reads the plan: the names and shapes
 * of tensors, the layers, the memory of a step, the caches of generation, the constants of kernels.
 *
 * The types can say more than the kernels can compute, so that a family is written down as it is.
 * `support.ts` refuses what no kernel computes yet.
 *
 * @module
 */

import type { DeltaNetPlan } from "./delta_net_plan.ts";
import type { RopeScaling } from "./rope_scaling.ts";
import type { LinearRole, TensorMap } from "./tensor_map.ts";

/** The architecture of a model. */
export interface ModelPlan {
  /** Rows of the embedding. */
  readonly vocabSize: number;
  /** Components of the residual stream. */
  readonly hiddenSize: number;
  /** The embedding `[vocabSize, hiddenSize]`; its rows are multiplied by `scale`. */
  readonly embedding: { readonly tensor: string; readonly scale: number };
  /** The decoder blocks, the first one first. */
  readonly layers: readonly LayerPlan[];
  /** The norm between the last block and the head. */
  readonly finalNorm: NormPlan;
  /** The output projection. */
  readonly head: HeadPlan;
  /** What every block reads of the tokens besides the stream; absent where blocks read none. */
  readonly tokenInputs?: TokenInputsPlan;
}

/**
 * Per-layer embeddings: of each token, `width` components for each block, the first block's first. They
 * are scale · (table row + norm(projection of the embedding)), the norm over the components of a block.
 */
export interface TokenInputsPlan {
  /** Components that a block has. */
  readonly width: number;
  /** The table `[vocabSize, layers · width]`; its rows are multiplied by `scale`. */
  readonly table: { readonly tensor: string; readonly vocabSize: number; readonly scale: number };
  /** The projection `[layers · width, hiddenSize]`; what it gives is multiplied by `scale`. */
  readonly projection: { readonly tensor: string; readonly scale: number };
  /** Its norm. */
  readonly norm: NormPlan;
  /** Factor of the sum. */
  readonly scale: number;
}

/** The output projection `[vocabSize, hiddenSize]`. */
export interface HeadPlan {
  /** Its tensor: the embedding's where the two are tied. */
  readonly tensor: string;
  /** Whether it is the embedding, so that the files need no tensor of its own. */
  readonly tied: boolean;
  /** Factor of the logits. */
  readonly scale: number;
  /** c where logits become c · tanh(logit / c), after scaling. */
  readonly softCap: number | null;
}

/**
 * One decoder block: a mixer of tokens and an MLP, each a branch that is added to the residual stream.
 */
export interface LayerPlan {
  /** The mixer, where it is attention. */
  readonly attention: AttentionPlan | null;
  /** The mixer, where it is a gated delta net: one of the two is there. */
  readonly deltaNet: DeltaNetPlan | null;
  readonly mlp: MlpPlan;
  /** Where norms stand: before a branch, or on its output before that is added. */
  readonly norms: {
    readonly attentionIn: NormPlan | null;
    readonly attentionOut: NormPlan | null;
    readonly mlpIn: NormPlan | null;
    readonly mlpOut: NormPlan | null;
  };
  /** Factor of both branches before they are added. */
  readonly residualScale: number;
  /** Whether both branches read the same norm of the block's input, and are added together. */
  readonly parallel: boolean;
  /** Where the weights of the linear layers are stored. */
  readonly tensors: TensorMap;
  /** A third branch, behind the MLP, that takes in the token's input of this block. */
  readonly tokenInput?: TokenInputPlan;
  /**
   * The tensor [1] that the block's output is multiplied by. It is a buffer of the model: saved, and
   * never trained.
   */
  readonly outputScale?: string;
}

/** `norm(projection(activation(gate(x)) · token input))`, the activation being the MLP's. */
export interface TokenInputPlan {
  /** The weight `[width, hiddenSize]`. */
  readonly gate: string;
  /** The weight `[hiddenSize, width]`. */
  readonly projection: string;
  /** The norm of the branch before it is added. */
  readonly norm: NormPlan;
}

/** A block whose mixer is attention. */
export type AttentionLayerPlan = LayerPlan & { readonly attention: AttentionPlan };

/** Causal attention of grouped heads. */
export interface AttentionPlan {
  /** Query heads. */
  readonly heads: number;
  /** Key and value heads. */
  readonly kvHeads: number;
  /** Components of a head. */
  readonly headDim: number;
  /** Factor of q·k. */
  readonly scale: number;
  /** How many tokens a token sees, itself included; null for all before it. */
  readonly window: number | null;
  /** c where scaled scores become c · tanh(score / c). */
  readonly softCap: number | null;
  /** How queries and keys are turned by their positions; null for not at all (NoPE). */
  readonly rope: RopePlan | null;
  /** RMSNorm of queries and keys before rotation: each head by itself, or all heads as one row. */
  readonly qkNorm: QkNormPlan | null;
  /**
   * The layer whose keys and values, normed and rotated, this one attends to; absent where they are its
   * own. Such a layer has no tensors of k and v.
   */
  readonly sharedWith?: number;
  /** Which projections add a bias. */
  readonly bias: { readonly qkv: boolean; readonly o: boolean };
  /** Whether what heads give is multiplied by sigmoid(z), with z a projection as wide as q. */
  readonly outputGate: boolean;
}

/** RMSNorm of queries and keys. */
export interface QkNormPlan {
  /** What is a row: a head, so that all heads share a weight `[headDim]`, or all heads of a token. */
  readonly over: "head" | "width";
  /** 1 where rows are multiplied by 1 + weight. */
  readonly weightOffset: 0 | 1;
  /** Added to the mean square. */
  readonly eps: number;
  /** The two weights. */
  readonly tensors: { readonly q: string; readonly k: string };
  /** Whether the heads of values are normed too, by themselves and without a weight. Default false. */
  readonly values?: boolean;
}

/** Rotary position embedding: see `rope_frequencies.ts`. */
export interface RopePlan {
  /** The base of the frequencies. */
  readonly theta: number;
  /** How the frequencies are scaled. */
  readonly scaling: RopeScaling;
  /** How many components of a head are turned, the first ones; the others stay as they are. */
  readonly rotatedDims: number;
  /** Whether planes are components (2i, 2i + 1), in place of (i, i + rotatedDims / 2). */
  readonly interleaved: boolean;
  /** Factor of cosines and sines, so of what is turned; what stays is not multiplied. */
  readonly factor: number;
  /**
   * Where turned queries are multiplied by 1 + beta · ln(1 + ⌊position /
   * originalMaxPositionEmbeddings⌋); null where they are not.
   */
  readonly queryScale: {
    readonly beta: number;
    readonly originalMaxPositionEmbeddings: number;
  } | null;
}

/** `down(activation(gate(x)) · up(x))`. */
export interface MlpPlan {
  /** Components of gate and up. */
  readonly width: number;
  readonly activation: "silu" | "geluTanh";
  /** Whether its three projections add biases. */
  readonly bias: boolean;
}

/** A norm of rows. */
export interface NormPlan {
  /** RMSNorm, or LayerNorm. */
  readonly kind: "rms" | "layer";
  /** 1 where rows are multiplied by 1 + weight. */
  readonly weightOffset: 0 | 1;
  /** Added to the mean square. */
  readonly eps: number;
  /** Its weight. */
  readonly tensor: string;
}

/** The attention of a plan, of which all its layers of attention have the sizes: see `support.ts`. */
export function attentionOf({ layers }: Pick<ModelPlan, "layers">): AttentionPlan | null {
  return layers.find(({ attention }) => attention)?.attention ?? null;
}

/** The linear layers of a mixer that read its input, in the order in which they are merged. */
export function mixerRoles({ attention, tensors }: LayerPlan): LinearRole[] {
  if (!attention) return ["q", "k", "v", "z", "b", "a"];
  // q and z may be rows of one tensor, and parts of a merged weight are whole.
  const roles: LinearRole[] = attention.outputGate ? ["q", "z", "k", "v"] : ["q", "k", "v"];
  return roles.filter((role) => tensors[role]);
}

/** Components of what the last linear layer of a mixer reads. */
export function mixerWidth({ attention, deltaNet }: LayerPlan): number {
  return attention
    ? attention.heads * attention.headDim
    : deltaNet!.valueHeads * deltaNet!.valueDim;
}

/** The biases of the linear layers of a mixer. */
export function mixerBias({ attention }: LayerPlan): AttentionPlan["bias"] {
  return attention?.bias ?? { qkv: false, o: false };
}
