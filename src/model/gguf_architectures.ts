/**
 * Which of llama.cpp's architectures computes a plan, with which settings and tensors. What an
 * architecture has no setting for must be as llama.cpp computes it, and is refused otherwise: it would
 * load, and say something plausible and wrong.
 *
 * @module
 */

import { ModelError } from "../errors.ts";
import type { LayerPlan, ModelPlan, NormPlan } from "./plan.ts";
import { biasName } from "./plan_tensors.ts";
import type { LinearRole } from "./tensor_map.ts";

/** What an architecture of llama.cpp can compute, beyond what all can. */
export interface GgufArchitecture {
  /** Its name in a file. */
  readonly name: string;
  /** Whether rotation turns neighbours, so that rows of q and k change places. */
  readonly pairs: boolean;
  /** The projections that may have biases. */
  readonly biases: readonly ("qkv" | "o" | "mlp")[];
  /** Whether there are norms of the heads of queries and keys. */
  readonly qkNorm: boolean;
  /** Whether rope factors of Llama 3 can be a tensor. */
  readonly ropeFactors: boolean;
  /** Whether the factors of embedding, branches, scores and logits are keys. */
  readonly scales: boolean;
  /** Every n-th layer does not rotate; 0 for none. */
  readonly stillEvery: number;
}

const LLAMA: GgufArchitecture = {
  name: "llama",
  pairs: true,
  biases: ["qkv", "o", "mlp"],
  qkNorm: false,
  ropeFactors: true,
  scales: false,
  stillEvery: 0,
};
const QWEN2: GgufArchitecture = {
  ...LLAMA,
  name: "qwen2",
  pairs: false,
  biases: ["qkv"],
  ropeFactors: false,
};

/** By `model_type`. */
const ARCHITECTURES: Readonly<Record<string, GgufArchitecture>> = {
  llama: LLAMA,
  mistral: LLAMA,
  ministral: LLAMA,
  qwen2: QWEN2,
  qwen3: { ...QWEN2, name: "qwen3", biases: [], qkNorm: true },
  smollm3: { ...LLAMA, name: "smollm3", biases: [], ropeFactors: false, stillEvery: 4 },
  granite: { ...LLAMA, name: "granite", biases: [], scales: true },
};

/** The `model_type`s that can be exported. */
export const GGUF_MODEL_TYPES: readonly string[] = Object.keys(ARCHITECTURES);

/**
 * The architecture that computes a plan.
 *
 * @throws {ModelError} if none does.
 */
export function ggufArchitecture(modelType: string, plan: ModelPlan): GgufArchitecture {
  const known = ARCHITECTURES[modelType];
  if (!known) {
    throw new ModelError(
      `Cannot export a model of type "${modelType}" as GGUF: those of ${
        GGUF_MODEL_TYPES.join(", ")
      } can be; convert its folder with llama.cpp's convert_hf_to_gguf.py`,
    );
  }
  const wrong = firstDifference(known, plan);
  if (wrong !== null) {
    throw new ModelError(
      `Cannot export this model of type "${modelType}" as GGUF as it has ${wrong}, which llama.cpp's ` +
        `architecture "${known.name}" has not: use its folder with another tool`,
    );
  }
  return known;
}

/** What a plan has that an architecture cannot compute, in words; null for nothing. */
function firstDifference(arch: GgufArchitecture, plan: ModelPlan): string | null {
  if (!arch.scales && plan.embedding.scale !== 1) {
    return `an embedding multiplied by ${plan.embedding.scale}`;
  }
  if (!arch.scales && plan.head.scale !== 1) return `logits multiplied by ${plan.head.scale}`;
  if (plan.head.softCap !== null) return "a cap of logits";
  if (!isNorm(plan.finalNorm)) return "another last norm";
  for (const [index, layer] of plan.layers.entries()) {
    const wrong = layerDifference(arch, layer, index, plan);
    if (wrong !== null) return `${wrong} in layer ${index}`;
  }
  return null;
}

function layerDifference(
  arch: GgufArchitecture,
  layer: LayerPlan,
  index: number,
  plan: ModelPlan,
): string | null {
  const { attention, mlp, norms } = layer;
  if (!attention) return "a delta net";
  const first = plan.layers[0].attention!;
  if (layer.parallel) return "branches side by side";
  if (!arch.scales && layer.residualScale !== 1) return `branches times ${layer.residualScale}`;
  if (!arch.scales && differs(attention.scale, attention.headDim ** -0.5)) {
    return `scores times ${attention.scale}`;
  }
  if (attention.softCap !== null) return "a cap of scores";
  if (attention.outputGate) return "a gate of the output of attention";
  const { qkNorm } = attention;
  const fits = qkNorm?.over === "head" && qkNorm.weightOffset === 0;
  if (arch.qkNorm ? !fits : qkNorm !== null) return "other norms of queries and keys";
  for (const kind of ["qkv", "o"] as const) {
    if (attention.bias[kind] && !arch.biases.includes(kind)) return `biases of ${kind}`;
  }
  if (mlp.bias && !arch.biases.includes("mlp")) return "biases of the MLP";
  if (mlp.activation !== "silu") return `the activation ${mlp.activation}`;
  const before = [norms.attentionIn, norms.mlpIn].every((norm) => norm && isNorm(norm));
  if (!before || norms.attentionOut || norms.mlpOut) return "other norms";
  const still = arch.stillEvery > 0 && (index + 1) % arch.stillEvery === 0;
  if (still !== (attention.rope === null)) return still ? "rotation" : "no rotation";
  if (attention.window !== first.window) return "another window";
  return attention.rope && ropeDifference(arch, attention.rope, first);
}

function ropeDifference(
  arch: GgufArchitecture,
  rope: NonNullable<NonNullable<LayerPlan["attention"]>["rope"]>,
  first: NonNullable<LayerPlan["attention"]>,
): string | null {
  const { scaling, rotatedDims, interleaved, factor, queryScale } = rope;
  if (JSON.stringify(rope) !== JSON.stringify(first.rope)) return "another rotation";
  if (rotatedDims !== first.headDim || interleaved) return "rotation of a part of a head";
  if (queryScale) return "queries scaled by their positions";
  switch (scaling?.type) {
    case undefined:
    case "linear":
      return factor === 1 ? null : `rotations times ${factor}`;
    case "llama3":
      return arch.ropeFactors && factor === 1 ? null : "rope scaling of type llama3";
    case "yarn": {
      const { betaFast, betaSlow, truncate } = scaling;
      // What llama.cpp multiplies by where a file says nothing else.
      const usual = betaFast === 32 && betaSlow === 1 && truncate &&
        !differs(factor, 1 + 0.1 * Math.log(scaling.factor));
      return usual ? null : "rope scaling of type yarn with other settings than usual";
    }
    default:
      return `rope scaling of type ${scaling!.type}`;
  }
}

function isNorm({ kind, weightOffset }: NormPlan): boolean {
  return kind === "rms" && weightOffset === 0;
}

function differs(a: number, b: number): boolean {
  return Math.abs(a - b) > 1e-6 * Math.abs(b);
}

/** A tensor of a file, by what it is of the plan. */
export interface GgufSource {
  /** The name in the file. */
  readonly name: string;
  /** The model's tensor. */
  readonly tensor: string;
  /** Its rows, and the first: a part where several weights are stored as one. */
  readonly firstRow: number;
  readonly shape: readonly number[];
  /** Whether the rows of each head change places. */
  readonly turned: boolean;
}

const ROLES: readonly (readonly [LinearRole, string])[] = [
  ["q", "attn_q"],
  ["k", "attn_k"],
  ["v", "attn_v"],
  ["o", "attn_output"],
  ["gate", "ffn_gate"],
  ["up", "ffn_up"],
  ["down", "ffn_down"],
];

/** The tensors of a file, in its order. */
export function ggufSources(arch: GgufArchitecture, plan: ModelPlan): GgufSource[] {
  const { vocabSize, hiddenSize } = plan;
  const whole = { firstRow: 0, turned: false } as const;
  const out: GgufSource[] = [];
  const norm = (name: string, tensor: string, size: number) =>
    out.push({ ...whole, name, tensor, shape: [size] });
  out.push({
    ...whole,
    name: "token_embd.weight",
    tensor: plan.embedding.tensor,
    shape: [vocabSize, hiddenSize],
  });
  for (const [index, { attention, mlp, norms, tensors }] of plan.layers.entries()) {
    const named = (name: string) => `blk.${index}.${name}.weight`;
    const { heads, headDim, qkNorm, bias } = attention!;
    if (norms.attentionIn) norm(named("attn_norm"), norms.attentionIn.tensor, hiddenSize);
    if (qkNorm) {
      norm(named("attn_q_norm"), qkNorm.tensors.q, headDim);
      norm(named("attn_k_norm"), qkNorm.tensors.k, headDim);
    }
    for (const [role, name] of ROLES) {
      const { name: tensor, firstRow, rows } = tensors[role]!;
      const cols = role === "o" ? heads * headDim : role === "down" ? mlp.width : hiddenSize;
      const turned = arch.pairs && (role === "q" || role === "k");
      out.push({ name: named(name), tensor, firstRow, shape: [rows, cols], turned });
      const biased = role === "o" ? bias.o : "qkv".includes(role) ? bias.qkv : mlp.bias;
      if (!biased) continue;
      const biasOf = { firstRow, turned, shape: [rows] } as const;
      out.push({ ...biasOf, name: biasName(named(name)), tensor: biasName(tensor) });
    }
    if (norms.mlpIn) norm(named("ffn_norm"), norms.mlpIn.tensor, hiddenSize);
  }
  norm("output_norm.weight", plan.finalNorm.tensor, hiddenSize);
  if (!plan.head.tied) {
    const { tensor } = plan.head;
    out.push({ ...whole, name: "output.weight", tensor, shape: [vocabSize, hiddenSize] });
  }
  return out;
}
