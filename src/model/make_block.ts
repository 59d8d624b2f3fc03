/**
 * Makes the layers of a block as its plan asks for them.
 *
 * @module
 */

import type { AdaptedLayers, DenseWeight } from "../layers/method.ts";
import { makeQkNorm } from "./attention_inputs.ts";
import type { StoredVector } from "../layers/named_dense.ts";
import type { Block } from "./block.ts";
import type { BlockSpecs } from "./block_specs.ts";
import { makeDeltaNet } from "./delta_net.ts";
import type { Norm } from "./norm.ts";
import type { LayerPlan, NormPlan, TokenInputsPlan } from "./plan.ts";
import type { RopeBuffers } from "./rope_buffers.ts";
import type { TokenBranch } from "./token_inputs.ts";

/** What makes the layers. */
export interface LayerMakers {
  layers: AdaptedLayers;
  norm: (plan: NormPlan) => Norm;
  /** Makes a weight of one row. */
  dense: (name: string, cols: number, stored?: StoredVector) => DenseWeight;
  /** Makes a number of the model that no method trains. */
  constant: (name: string) => DenseWeight;
  ropeBuffers: RopeBuffers;
  /** What the tokens' inputs of the block are, where the model has such. */
  tokenInputs?: TokenInputsPlan;
}

/** Makes block `layer`. Its parameters are declared in the order of the forward pass. */
export function makeBlock(
  plan: LayerPlan,
  layer: number,
  specs: BlockSpecs,
  { layers, norm, dense, constant, ropeBuffers, tokenInputs }: LayerMakers,
): Block {
  const normAt = (at: keyof LayerPlan["norms"]) => plan.norms[at] && norm(plan.norms[at]);
  const attentionIn = normAt("attentionIn");
  const qkv = layers.linear(specs.qkv);
  const qkNorm = makeQkNorm(plan.attention, dense);
  const deltaNet = makeDeltaNet(plan.deltaNet, dense);
  const rotation = plan.attention && ropeBuffers.of(plan.attention);
  const o = layers.linear(specs.o);
  const attentionOut = normAt("attentionOut");
  const mlpIn = normAt("mlpIn");
  const gateUp = layers.linear(specs.gateUp);
  const down = layers.linear(specs.down);
  const norms = { attentionIn, attentionOut, mlpIn, mlpOut: normAt("mlpOut") };
  const token: TokenBranch | null = specs.token && {
    layer,
    width: tokenInputs!.width,
    scale: tokenInputs!.scale,
    activation: plan.mlp.activation,
    gate: layers.linear(specs.token.gate),
    projection: layers.linear(specs.token.projection),
    norm: norm(plan.tokenInput!.norm),
  };
  const outputScale = plan.outputScale === undefined ? null : constant(plan.outputScale);
  const mixer = { plan, qkv, qkNorm, rotation, deltaNet, o };
  return { ...mixer, norms, gateUp, down, token, outputScale };
}
