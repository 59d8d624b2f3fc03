/**
 * The order of the components of a head. The kernels turn components i and i + headDim / 2 as a
 * plane. Families also turn neighbours (2i, 2i + 1), or only the first components of a head. Scores
 * are sums over the components of queries and keys and do not depend on their order, so the rows of
 * q and k, with their biases, adapters and norms, are put in order when they are loaded, and back
 * when they are read. Values are not rotated and stay as they are.
 *
 * @module
 */

import type { RowOrder } from "../layers/row_order.ts";
import type { AttentionPlan } from "./plan.ts";

/**
 * Where each component of a query or key head goes: planes that turn first, those that do not last.
 *
 * @returns [headDim]; null where each stays where it is.
 */
export function headOrder({ rope, headDim }: AttentionPlan): RowOrder | null {
  if (!rope || (rope.rotatedDims === headDim && !rope.interleaved)) return null;
  const { rotatedDims, interleaved } = rope;
  const planes = rotatedDims / 2;
  const half = headDim / 2;
  return Uint32Array.from({ length: headDim }, (_, i) => {
    if (i >= rotatedDims) { // to the planes that are left
      const rest = i - rotatedDims;
      const left = half - planes;
      return rest < left ? planes + rest : half + planes + (rest - left);
    }
    const [plane, second] = interleaved ? [i >> 1, i % 2] : [i % planes, Math.floor(i / planes)];
    return plane + second * half;
  });
}

/** Where a row of heads below each other is when each has its rows in an order. */
export function rowIn(head: RowOrder, row: number): number {
  const component = row % head.length;
  return row - component + head[component];
}
