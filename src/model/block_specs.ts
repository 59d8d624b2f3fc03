/**
 * The four merged linear layers of a decoder block, as its plan asks for them.
 *
 * @module
 */

import { roundUp } from "../gpu/buffers.ts";
import type { LinearPart, LinearSpec, StoredBias } from "../layers/linear_spec.ts";
import { biasName, type LayerPlan, type LinearRole, type TensorMap } from "./plan.ts";

/** The merged linears of one block. */
export interface BlockSpecs {
  qkv: LinearSpec;
  o: LinearSpec;
  gateUp: LinearSpec;
  down: LinearSpec;
}

/** Describes the merged linears of block `layer`. */
export function blockSpecs(
  { attention, mlp, tensors }: LayerPlan,
  hiddenSize: number,
  layer: number,
): BlockSpecs {
  const { qkv, o } = attention.bias;
  const merge = (
    name: string,
    inFeatures: number,
    hasBias: boolean,
    ...roles: LinearRole[]
  ): LinearSpec => {
    let start = 0;
    const parts = roles.map((role): LinearPart => {
      const module = moduleOf(tensors[role].name);
      const { rows } = tensors[role];
      const kind = module.slice(module.lastIndexOf(".") + 1);
      const part = { module, kind, rows, start };
      start += roundUp(rows, 16);
      return hasBias ? { ...part, bias: storedBias(tensors, role) } : part;
    });
    return { name: `layers.${layer}.${name}`, inFeatures, width: start, parts };
  };
  return {
    qkv: merge("qkv", hiddenSize, qkv, "q", "k", "v"),
    o: merge("o", attention.heads * attention.headDim, o, "o"),
    gateUp: merge("gate_up", hiddenSize, mlp.bias, "gate", "up"),
    down: merge("down", mlp.width, mlp.bias, "down"),
  };
}

/** Where the bias of a layer is: beside its weight, as many rows of as long a tensor. */
function storedBias(tensors: TensorMap, role: LinearRole): StoredBias {
  const { name, firstRow } = tensors[role];
  const ends = Object.values(tensors).filter((other) => other.name === name)
    .map((other) => other.firstRow + other.rows);
  return { name: biasName(name), firstRow, length: Math.max(...ends) };
}

/** The path of the module whose weight a tensor is. */
function moduleOf(tensor: string): string {
  return tensor.replace(/\.weight$/, "");
}
