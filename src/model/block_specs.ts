/**
 * The four merged linear layers of a decoder block, as its plan asks for them.
 *
 * @module
 */

import { roundUp } from "../gpu/buffers.ts";
import type { LinearSpec } from "../layers/linear_spec.ts";
import type { LayerPlan, LinearRole } from "./plan.ts";

/** The merged linears of one block. */
export interface BlockSpecs {
  qkv: LinearSpec;
  o: LinearSpec;
  gateUp: LinearSpec;
  down: LinearSpec;
}

/** Describes the merged linears of block `layer`. */
export function blockSpecs(
  { attention, mlp, residualScale, tensors }: LayerPlan,
  hiddenSize: number,
  layer: number,
): BlockSpecs {
  const merge = (name: string, inFeatures: number, ...roles: LinearRole[]): LinearSpec => {
    let start = 0;
    const parts = roles.map((role) => {
      const module = moduleOf(tensors[role].name);
      const { rows } = tensors[role];
      const part = { module, kind: module.slice(module.lastIndexOf(".") + 1), rows, start };
      start += roundUp(rows, 16);
      return part;
    });
    return { name: `layers.${layer}.${name}`, inFeatures, width: start, parts };
  };
  // Whether a branch is scaled or what its last layer multiplies is the same.
  const last = (spec: LinearSpec) => ({ ...spec, outputFactor: residualScale });
  return {
    qkv: merge("qkv", hiddenSize, "q", "k", "v"),
    o: last(merge("o", attention.heads * attention.headDim, "o")),
    gateUp: merge("gate_up", hiddenSize, "gate", "up"),
    down: last(merge("down", mlp.width, "down")),
  };
}

/** The path of the module whose weight a tensor is. */
function moduleOf(tensor: string): string {
  return tensor.replace(/\.weight$/, "");
}
