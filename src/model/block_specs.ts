/**
 * The four merged linear layers of each decoder block, with the sizes that a config asks for.
 *
 * @module
 */

import { roundUp } from "../gpu/buffers.ts";
import type { LinearSpec } from "../layers/linear_spec.ts";
import type { ModelConfig } from "./config.ts";

/** The merged linears of one block. */
export interface BlockSpecs {
  qkv: LinearSpec;
  o: LinearSpec;
  gateUp: LinearSpec;
  down: LinearSpec;
}

/** Describes the merged linears of block `layer`. */
export function blockSpecs(config: ModelConfig, layer: number): BlockSpecs {
  const { hiddenSize, intermediateSize, numHeads, numKeyValueHeads, headDim } = config;
  const queries = numHeads * headDim;
  const keys = numKeyValueHeads * headDim;
  const merge = (
    name: string,
    inFeatures: number,
    group: string,
    parts: [kind: string, rows: number][],
  ): LinearSpec => {
    let start = 0;
    const placed = parts.map(([kind, rows]) => {
      const part = { module: `model.layers.${layer}.${group}.${kind}`, kind, rows, start };
      start += roundUp(rows, 16);
      return part;
    });
    return { name: `layers.${layer}.${name}`, inFeatures, width: start, parts: placed };
  };
  return {
    qkv: merge("qkv", hiddenSize, "self_attn", [
      ["q_proj", queries],
      ["k_proj", keys],
      ["v_proj", keys],
    ]),
    o: merge("o", queries, "self_attn", [["o_proj", hiddenSize]]),
    gateUp: merge("gate_up", hiddenSize, "mlp", [
      ["gate_proj", intermediateSize],
      ["up_proj", intermediateSize],
    ]),
    down: merge("down", intermediateSize, "mlp", [["down_proj", hiddenSize]]),
  };
}
