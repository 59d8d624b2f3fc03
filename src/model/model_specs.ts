/**
 * The linear layers of a whole model, as its plan asks for them.
 *
 * @module
 */

import type { LinearSpec } from "../layers/linear_spec.ts";
import { type BlockSpecs, blockSpecs, linearsOf } from "./block_specs.ts";
import type { ModelPlan } from "./plan.ts";
import { tokenInputsSpec } from "./token_inputs.ts";

/** The linear layers of a model. */
export interface ModelSpecs {
  /** That which makes the inputs of blocks from the tokens, where blocks read such. */
  inputs: LinearSpec | null;
  /** Those of each block. */
  blocks: BlockSpecs[];
  /** All of them, in the order of the forward pass. */
  linears: LinearSpec[];
}

/** Describes the linear layers of a model. */
export function modelSpecs(plan: ModelPlan): ModelSpecs {
  const inputs = tokenInputsSpec(plan);
  const blocks = plan.layers.map((layer, index) =>
    blockSpecs(layer, plan.hiddenSize, index, plan.tokenInputs?.width)
  );
  return { inputs, blocks, linears: [...(inputs ? [inputs] : []), ...blocks.flatMap(linearsOf)] };
}
