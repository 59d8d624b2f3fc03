/**
 * The largest sizes that a config.json may give, and the ranges of its factors: several times what
 * published models have. What is beyond them is a damaged file or a hostile one, and whoever plans it
 * would count, and make lists, without end.
 *
 * @module
 */

import { ModelError } from "../errors.ts";
import type { ModelPlan } from "./plan.ts";
import { planTensorShapes } from "./plan_tensors.ts";

/** The largest sizes. Where a model is named, it has the largest that was published. */
export const MOST = {
  /** Decoder blocks. Less than 200. */
  layers: 512,
  /** Rows of an embedding. About 1 million, for languages of all scripts. */
  vocabulary: 2 ** 22,
  /** Components of the residual stream. 16,384 in Llama 3.1 405B. */
  hidden: 2 ** 16,
  /** Components inside a feed-forward network. 53,248 in Llama 3.1 405B. */
  intermediate: 2 ** 19,
  /** Heads. 128. */
  heads: 2 ** 11,
  /** Components of a head; kernels take less, see `support.ts`. 512. */
  headDim: 2 ** 13,
  /** Taps of a convolution. 4. */
  convWidth: 64,
  /** Tokens of a context, or of a window: positions are 32-bit integers. */
  tokens: 2 ** 31 - 1,
  /** Elements of an embedding. 128,256 × 16,384 in Llama 3.1 405B. */
  embedding: 2 ** 36,
  /** Parameters in all: AdamW's state of so many is counted exactly in bytes. */
  parameters: 2 ** 43,
} as const;

/** A range of numbers, both ends included. */
type Range = readonly [least: number, most: number];

/** The ranges of factors, all within what f32 holds together with their inverses. */
export const RANGES = {
  /** Added to a mean square. 1e-6. */
  eps: [1e-30, 1],
  /** The base of rotary frequencies; at 1 every plane would turn alike. 1e4 to 1e9. */
  ropeTheta: [2, 1e30],
  /** What anything else is multiplied or divided by. */
  factor: [1e-6, 1e6],
} as const satisfies Record<string, Range>;

/**
 * Refuses a plan with more parameters than any model has, though each of its sizes may be one that
 * models have.
 *
 * @param where Names the config, for the message.
 * @throws {ModelError} if it has.
 */
export function expectCountable(plan: ModelPlan, where: string): void {
  const expectFew = (what: string, most: number, found: number) => {
    if (found <= most) return;
    throw new ModelError(
      `The sizes in ${where} must make ${what} of at most ${most} elements: found ${found}; correct ` +
        "the file",
    );
  };
  const counts = planTensorShapes(plan).values().map((shape) => shape.reduce((a, b) => a * b));
  expectFew("a model", MOST.parameters, counts.reduce((a, b) => a + b));
  expectFew("an embedding", MOST.embedding, plan.vocabSize * plan.hiddenSize);
  const { table, width } = plan.tokenInputs ?? { table: { vocabSize: 0 }, width: 0 };
  expectFew("a table", MOST.embedding, table.vocabSize * width * plan.layers.length);
}
