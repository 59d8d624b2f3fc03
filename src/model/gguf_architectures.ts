/**
 * llama.cpp's architectures, by what they compute: each is one of the families that are trained here, with
 * settings that a file has keys for, and others that are fixed in its program. The facts are those of
 * llama.cpp's `src/models` and of its converter; `scripts/llama_cpp.ts` holds them against a build of it.
 *
 * @module
 */

import type { LayerPlan, MlpPlan, QkNormPlan } from "./plan.ts";
import type { RopeScaling } from "./rope_scaling.ts";

/** What an architecture of llama.cpp computes. */
export interface GgufArchitecture {
  /** Its name in a file. */
  readonly name: string;
  /** Whether rotation turns neighbouring components, in place of the halves of a head. */
  readonly neighbours: boolean;
  /** Whether a part of a head may stay unturned. */
  readonly partialRotation: boolean;
  /** The kinds of rope scaling that it has. */
  readonly scalings: readonly NonNullable<RopeScaling>["type"][];
  /** Whether YaRN's usual factor of cosines and sines, 1 + 0.1 ln(factor), is undone. */
  readonly plainYarn: boolean;
  /** Every n-th layer does not rotate; 0 for none. */
  readonly stillEvery: number;
  /** Whether a key can end rotation in all layers. */
  readonly mayStandStill: boolean;
  /** Whether queries can be scaled by their positions. */
  readonly queryScale: boolean;
  /** The projections that may have biases. */
  readonly biases: readonly ("qkv" | "o" | "mlp")[];
  /** Norms of queries and keys. */
  readonly qkNorm: QkNormPlan["over"] | null;
  /** The names of the norms of a block, at the places that have one. */
  readonly norms: Readonly<Record<keyof LayerPlan["norms"], string | null>>;
  readonly activation: MlpPlan["activation"];
  /** What is one tensor: q, k and v; gate and up. */
  readonly merged: readonly ("qkv" | "gateUp")[];
  /** Whether the factors of embedding, branches, scores and logits are keys. */
  readonly scales: boolean;
  /** Whether the embedding is multiplied by the root of its width. */
  readonly rootScale: boolean;
  /** Whether scores and logits are capped, by keys. */
  readonly softCaps: boolean;
  /**
   * Whether every n-th layer sees all tokens and the others a window, and how these rotate: alike, with a
   * base of their own and no scaling, or with the same base and no scaling. Null: there are no windows.
   */
  readonly windows: "alike" | "ownBase" | "unscaled" | null;
  /**
   * The number of layers of the one model whose scores are divided by the root of hidden size / heads, in
   * place of the head's; 0 for none.
   */
  readonly wideScaleAt: number;
  /** Whether the heads must be as wide as the residual stream together. */
  readonly wholeHeads: boolean;
  /** Whether the head must be the embedding, must be a tensor of its own, or may be either. */
  readonly head: "tied" | "own" | "either";
}

const BEFORE = {
  attentionIn: "attn_norm",
  attentionOut: null,
  mlpIn: "ffn_norm",
  mlpOut: null,
};
const AROUND = {
  attentionIn: "attn_norm",
  attentionOut: "post_attention_norm",
  mlpIn: "ffn_norm",
  mlpOut: "post_ffw_norm",
};

const LLAMA: GgufArchitecture = {
  name: "llama",
  neighbours: true,
  partialRotation: false,
  scalings: ["linear", "llama3", "yarn"],
  plainYarn: false,
  stillEvery: 0,
  mayStandStill: false,
  queryScale: false,
  biases: ["qkv", "o", "mlp"],
  qkNorm: null,
  norms: BEFORE,
  activation: "silu",
  merged: [],
  scales: false,
  rootScale: false,
  softCaps: false,
  windows: null,
  wideScaleAt: 0,
  wholeHeads: false,
  head: "either",
};
const QWEN2: GgufArchitecture = {
  ...LLAMA,
  name: "qwen2",
  neighbours: false,
  biases: ["qkv"],
  scalings: ["linear", "yarn"],
};
const MISTRAL3: GgufArchitecture = {
  ...LLAMA,
  name: "mistral3",
  biases: [],
  plainYarn: true,
  queryScale: true,
};
const GRANITE: GgufArchitecture = {
  ...LLAMA,
  name: "granite",
  scales: true,
  mayStandStill: true,
};
const GEMMA: GgufArchitecture = {
  ...QWEN2,
  name: "gemma",
  biases: [],
  activation: "geluTanh",
  rootScale: true,
  head: "tied",
};
const GEMMA3: GgufArchitecture = {
  ...GEMMA,
  name: "gemma3",
  norms: AROUND,
  qkNorm: "head",
  windows: "ownBase",
  wideScaleAt: 62,
  head: "either",
};
const OLMO2: GgufArchitecture = {
  ...QWEN2,
  name: "olmo2",
  biases: [],
  qkNorm: "width",
  norms: { ...AROUND, attentionIn: null, mlpIn: null },
  wholeHeads: true,
  head: "own",
  windows: "unscaled",
};

/** By `model_type`; `gemma3` and `mistral3` are models of texts and images, whose text model is written. */
export const GGUF_ARCHITECTURES: Readonly<Record<string, GgufArchitecture>> = {
  llama: LLAMA,
  mistral: LLAMA,
  ministral: LLAMA,
  ministral3: MISTRAL3,
  mistral3: MISTRAL3,
  smollm3: {
    ...LLAMA,
    name: "smollm3",
    biases: [],
    scalings: ["linear", "yarn"],
    stillEvery: 4,
  },
  seed_oss: {
    ...QWEN2,
    name: "seed_oss",
    norms: { ...BEFORE, mlpIn: "post_attention_norm" },
  },
  qwen2: QWEN2,
  qwen3: { ...QWEN2, name: "qwen3", biases: [], qkNorm: "head" },
  phi3: {
    ...QWEN2,
    name: "phi3",
    biases: [],
    partialRotation: true,
    scalings: ["linear", "yarn", "longrope"],
    merged: ["qkv", "gateUp"],
    wholeHeads: true,
  },
  granite: GRANITE,
  granitemoehybrid: GRANITE,
  glm4: {
    ...LLAMA,
    name: "glm4",
    partialRotation: true,
    scalings: ["linear", "yarn"],
    biases: ["qkv"],
    norms: AROUND,
    merged: ["gateUp"],
  },
  gemma: GEMMA,
  gemma2: {
    ...GEMMA,
    name: "gemma2",
    norms: AROUND,
    softCaps: true,
    windows: "alike",
    wideScaleAt: 46,
  },
  gemma3: GEMMA3,
  gemma3_text: GEMMA3,
  olmo2: OLMO2,
  olmo3: OLMO2,
};
