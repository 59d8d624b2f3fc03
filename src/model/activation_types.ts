/**
 * In which types the blocks of a network want their activations kept.
 *
 * @module
 */

import { rotatesF16 } from "../kernels/attention/rope.ts";
import type { Linear } from "../layers/method.ts";
import type { ActivationTypes } from "./activation_plan.ts";
import type { Block } from "./block.ts";
import { qkvColumns } from "./block_specs.ts";
import type { AttentionPlan } from "./plan.ts";

/** The types of activations that all of the blocks do with; `attended` is f16 to be rounded more. */
export function activationTypes(blocks: readonly Block[]): ActivationTypes {
  const reads = (linear: Linear) => linear.forwardReadsF32 || linear.backwardReadsInput;
  const typeIf = (test: (block: Block) => boolean) => blocks.every(test) ? "f16" : "f32";
  // The kernel that gates the output of attention takes f32.
  const typeOfAttention = (test: (block: Block, plan: AttentionPlan) => boolean) =>
    typeIf((block) => {
      const { attention } = block.plan;
      return !attention || (!attention.outputGate && test(block, attention));
    });
  const qkv = typeOfAttention(({ qkv }, attention) =>
    qkv.preferredOutputType === "f16" &&
    rotatesF16(attention.headDim, qkvColumns(attention)[1].start)
  );
  const normed = blocks.some(({ qkNorm }) => qkNorm);
  const delta = blocks.some(({ deltaNet }) => deltaNet) ? "f32" : null;
  return {
    normed:
      blocks.some(({ norms, qkv, gateUp }) =>
          (norms.attentionIn && reads(qkv)) || (norms.mlpIn && reads(gateUp))
        )
        ? "f32"
        : null,
    hidden: blocks.some(({ down }) => reads(down)) ? "f32" : null,
    qkv,
    rotated: normed ? qkv : null,
    keyValues: qkv,
    tokenHidden: blocks.some(({ token }) => token && reads(token.projection)) ? "f32" : null,
    qkRstd: normed ? "f32" : null,
    attended: typeOfAttention(({ o }) =>
      o.preferredOutputType === "f16" && (!reads(o) || !!o.backwardTakesF16Input)
    ),
    gateUp: typeIf(({ gateUp }) => gateUp.preferredOutputType === "f16"),
    dGateUp: typeIf(({ gateUp }) => gateUp.preferredGradientType === "f16"),
    attentionBranch: blocks.some(({ norms }) => norms.attentionOut) ? "f32" : null,
    deltaIn: delta,
    deltaOut: delta,
    dDeltaIn: delta,
    mlpBranch: blocks.some(({ norms }) => norms.mlpOut) ? "f32" : null,
  };
}
