/**
 * The four merged linear layers of a decoder block.
 *
 * q, k and v read the same input, and so do gate and up: each group is one weight `[width, inFeatures]` and
 * one product. A group's parts stand below each other; each starts at a multiple of 16 so that blocks of
 * columns of the output can be read as whole vectors. Rows between the parts are zero.
 *
 * @module
 */

import { roundUp } from "../gpu/buffers.ts";
import type { ModelConfig } from "./config.ts";

/** One linear layer of the Hugging Face model inside a merged one. */
export interface LinearPart {
  /** Module path, such as `model.layers.0.self_attn.q_proj`. */
  module: string;
  /** Last component of the path, such as `q_proj`: what `targetModules` names. */
  kind: string;
  /** Output features. */
  rows: number;
  /** First row of the merged weight, first column of the merged output. */
  start: number;
}

/** A merged linear layer. */
export interface LinearSpec {
  /** Such as `layers.0.qkv`. */
  name: string;
  inFeatures: number;
  /** Columns of the merged output, a multiple of 16. */
  width: number;
  parts: LinearPart[];
}

/** The merged linears of one block. */
export interface BlockSpecs {
  qkv: LinearSpec;
  o: LinearSpec;
  gateUp: LinearSpec;
  down: LinearSpec;
}

/** The kinds of linear layers that adapters can be put on, in the order of a block. */
export const LINEAR_KINDS = [
  "q_proj",
  "k_proj",
  "v_proj",
  "o_proj",
  "gate_proj",
  "up_proj",
  "down_proj",
] as const;

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
