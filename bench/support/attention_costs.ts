/**
 * The operations of attention. They depend on the documents in the rows, so the kernels' own costs
 * cannot count them.
 *
 * @module
 */

import type { KernelTime } from "../../src/gpu/program.ts";
import type { ModelConfig } from "../../src/model/config.ts";

/**
 * Products of length headDim for each visible pair of a query and a key, by the end of the kernel's
 * name.
 */
const PRODUCTS: readonly (readonly [kernel: RegExp, products: number])[] = [
  [/^attention_.*forward$/, 2], // q·k, p·v
  [/^attention_.*queries$/, 3], // q·k, dO·v, dS·k
  [/^attention_.*keys_values$/, 4], // q·k, dO·v, p·dO, dS·q
];

/** Adds the operations of attention, where every row of the batch is one document. */
export function withAttentionCosts(
  times: readonly KernelTime[],
  { config, batchSize, sequenceLength }: {
    config: Pick<ModelConfig, "numHeads" | "headDim">;
    batchSize: number;
    sequenceLength: number;
  },
): KernelTime[] {
  const pairs = batchSize * sequenceLength * (sequenceLength + 1) / 2 * config.numHeads;
  return times.map((time) => {
    const known = PRODUCTS.find(([kernel]) => kernel.test(time.kernel));
    return known ? { ...time, flops: 2 * config.headDim * known[1] * pairs } : time;
  });
}
