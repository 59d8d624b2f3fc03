/**
 * In which types the blocks of a network want their activations kept.
 *
 * @module
 */

import { rotatesF16 } from "../kernels/attention/rope.ts";
import type { Linear } from "../layers/method.ts";
import type { ActivationTypes } from "./activations.ts";
import type { Block } from "./block.ts";
import { qkvColumns } from "./block_specs.ts";

/** The types of activations that all of the blocks do with; `attended` is f16 to be rounded more. */
export function activationTypes(blocks: readonly Block[]): ActivationTypes {
  const reads = (linear: Linear) => linear.forwardReadsF32 || linear.backwardReadsInput;
  const typeIf = (test: (block: Block) => boolean) => blocks.every(test) ? "f16" : "f32";
  const qkv = typeIf(({ plan, qkv }) =>
    qkv.preferredOutputType === "f16" &&
    rotatesF16(plan.attention.headDim, qkvColumns(plan.attention)[1].start)
  );
  const normed = blocks.some(({ qkNorm }) => qkNorm);
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
    attended: typeIf(({ o }) =>
      o.preferredOutputType === "f16" && (!reads(o) || !!o.backwardTakesF16Input)
    ),
    gateUp: typeIf(({ gateUp }) => gateUp.preferredOutputType === "f16"),
    dGateUp: typeIf(({ gateUp }) => gateUp.preferredGradientType === "f16"),
    attentionBranch: blocks.some(({ norms }) => norms.attentionOut) ? "f32" : null,
    mlpBranch: blocks.some(({ norms }) => norms.mlpOut) ? "f32" : null,
  };
}
