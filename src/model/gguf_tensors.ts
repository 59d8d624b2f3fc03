/**
 * The tensors of a GGUF file, by what they are of a plan, in llama.cpp's names.
 *
 * @module
 */

import type { GgufArchitecture } from "./gguf_architectures.ts";
import type { AttentionLayerPlan, ModelPlan, NormPlan } from "./plan.ts";
import { biasTensorOf } from "./plan_tensors.ts";
import type { LinearRole } from "./tensor_map.ts";

/** A tensor of a file. */
export interface GgufSource {
  /** The name in the file. */
  readonly name: string;
  /** The model's tensor. */
  readonly tensor: string;
  /** Its rows, and the first: a part where several weights are stored as one. */
  readonly firstRow: number;
  readonly shape: readonly number[];
  /** How many components of each head change places, so that those that turn together are neighbours. */
  readonly turned: number;
  /** Is added to every value: a file has norms that multiply by 1 + weight as what they multiply by. */
  readonly plus: 0 | 1;
}

/** A linear layer of a file: its name, and the first of the roles whose rows it has. */
type Linear = readonly [name: string, ...roles: LinearRole[]];

const NAMES: Readonly<Record<"qkv" | "gateUp", readonly [Linear, readonly Linear[]]>> = {
  qkv: [["attn_qkv", "q", "k", "v"], [["attn_q", "q"], ["attn_k", "k"], ["attn_v", "v"]]],
  gateUp: [["ffn_up", "gate", "up"], [["ffn_gate", "gate"], ["ffn_up", "up"]]],
};

/** The tensors of a file, in its order. */
export function ggufSources(arch: GgufArchitecture, plan: ModelPlan): GgufSource[] {
  const { vocabSize, hiddenSize, embedding, head, finalNorm, layers } = plan;
  const matrix = (name: string, tensor: string): GgufSource => (
    { name, tensor, firstRow: 0, shape: [vocabSize, hiddenSize], turned: 0, plus: 0 }
  );
  return [
    matrix("token_embd.weight", embedding.tensor),
    ...layers.flatMap((layer, index) =>
      blockSources(arch, layer as AttentionLayerPlan, `blk.${index}`, hiddenSize)
    ),
    norm("output_norm.weight", finalNorm, hiddenSize),
    ...head.tied && arch.head !== "own" ? [] : [matrix("output.weight", head.tensor)],
  ];
}

function blockSources(
  arch: GgufArchitecture,
  layer: AttentionLayerPlan,
  block: string,
  hiddenSize: number,
): GgufSource[] {
  const { attention, norms } = layer;
  const { heads, kvHeads, headDim, qkNorm } = attention;
  const named = (name: string) => `${block}.${name}.weight`;
  const normOf = (place: keyof typeof norms): GgufSource[] => {
    const name = arch.norms[place];
    return name ? [norm(named(name), norms[place]!, hiddenSize)] : [];
  };
  const qkNorms = qkNorm
    ? (["q", "k"] as const).map((role) => {
      const width = qkNorm.over === "head" ? 1 : role === "q" ? heads : kvHeads;
      const plan = { ...qkNorm, tensor: qkNorm.tensors[role] };
      return norm(named(`attn_${role}_norm`), plan, width * headDim);
    })
    : [];
  const linears = (parts: readonly Linear[]) =>
    parts.flatMap((linear) => linearSources(arch, layer, linear, named(linear[0]), hiddenSize));
  return [
    ...normOf("attentionIn"),
    ...qkNorms,
    ...linears(partsOf(arch, "qkv")),
    ...linears([["attn_output", "o"]]),
    ...normOf("attentionOut"),
    ...normOf("mlpIn"),
    ...linears(partsOf(arch, "gateUp")),
    ...linears([["ffn_down", "down"]]),
    ...normOf("mlpOut"),
  ];
}

function partsOf(arch: GgufArchitecture, parts: "qkv" | "gateUp"): readonly Linear[] {
  const [merged, apart] = NAMES[parts];
  return arch.merged.includes(parts) ? [merged] : apart;
}

function linearSources(
  arch: GgufArchitecture,
  { attention, mlp, tensors }: AttentionLayerPlan,
  [, role, ...others]: Linear,
  name: string,
  hiddenSize: number,
): GgufSource[] {
  const { heads, headDim, bias, rope } = attention;
  const { name: tensor, firstRow } = tensors[role]!;
  const rows = [role, ...others].reduce((sum, role) => sum + tensors[role]!.rows, 0);
  const cols = role === "o" ? heads * headDim : role === "down" ? mlp.width : hiddenSize;
  // Heads that do not rotate may have any order, if queries and keys have the same.
  const turns = arch.neighbours && !rope?.interleaved && (role === "q" || role === "k");
  const of = { firstRow, turned: turns ? rope?.rotatedDims ?? headDim : 0, plus: 0 } as const;
  const biased = role === "o" ? bias.o : "qkv".includes(role) ? bias.qkv : mlp.bias;
  return [
    { ...of, name, tensor, shape: [rows, cols] },
    ...biased
      ? [{ ...of, name: biasTensorOf(name), tensor: biasTensorOf(tensor), shape: [rows] }]
      : [],
  ];
}

function norm(
  name: string,
  { tensor, weightOffset }: Pick<NormPlan, "tensor" | "weightOffset">,
  size: number,
): GgufSource {
  return { name, tensor, firstRow: 0, shape: [size], turned: 0, plus: weightOffset };
}
