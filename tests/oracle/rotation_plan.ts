/**
 * The rotation of queries and keys that a layer's plan asks for: which components of a head form planes,
 * what turns them, and factors, written without the tricks of the product (which permutes rows of weights
 * and folds factors elsewhere).
 *
 * @module
 */

import type { AttentionPlan, RopePlan } from "../../src/model/plan.ts";
import { inverseFrequencies } from "./rope.ts";
import type { TokenStream } from "./token_stream.ts";

/** Turns heads, or turns gradients back: the transpose. */
export interface PlannedRotation {
  /** @param of Whether these are queries, which may have a factor of their own. */
  turn(x: Float64Array, of: "q" | "k"): Float64Array;
  /** The transpose of {@linkcode turn}. */
  turnBack(dy: Float64Array, of: "q" | "k"): Float64Array;
}

/** Makes the rotation of a layer for a stream; null where it does not rotate. */
export function plannedRotation(
  { rope, headDim }: AttentionPlan,
  tokens: TokenStream,
): PlannedRotation | null {
  if (!rope) return null;
  const lengths = documentLengths(tokens);
  const { positions } = tokens;
  const half = rope.rotatedDims / 2;
  const planes = Array.from(
    { length: half },
    (_, i) => rope.interleaved ? [2 * i, 2 * i + 1] : [i, i + half],
  );
  const apply = (x: Float64Array, of: "q" | "k", direction: 1 | -1) => {
    const y = Float64Array.from(x);
    const width = x.length / positions.length;
    for (let t = 0; t < positions.length; t++) {
      const frequencies = inverseFrequencies(rope, headDim, isLong(rope, lengths[t]));
      const queryFactor = of === "q" ? queryScale(rope, positions[t]) : 1;
      for (let head = t * width; head < (t + 1) * width; head += headDim) {
        planes.forEach(([a, b], i) => {
          const angle = positions[t] * frequencies[i];
          const cos = rope.factor * Math.cos(angle);
          const sin = rope.factor * Math.sin(angle) * direction;
          y[head + a] = x[head + a] * cos - x[head + b] * sin;
          y[head + b] = x[head + b] * cos + x[head + a] * sin;
        });
        for (let i = head; i < head + headDim; i++) y[i] *= queryFactor;
      }
    }
    return y;
  };
  return {
    turn: (x, of) => apply(x, of, 1),
    turnBack: (dy, of) => apply(dy, of, -1),
  };
}

/** Whether longrope turns a document of `length` tokens as one beyond the original context. */
function isLong({ scaling }: RopePlan, length: number): boolean {
  return scaling?.type === "longrope" && length > scaling.originalMaxPositionEmbeddings;
}

/** Factor of the query at a position: it grows with every original context that lies behind. */
function queryScale({ queryScale }: RopePlan, position: number): number {
  if (!queryScale) return 1;
  const contexts = Math.floor(position / queryScale.originalMaxPositionEmbeddings);
  return 1 + queryScale.beta * Math.log(1 + contexts);
}

/** The length of the document of every token. */
function documentLengths({ documentStart }: TokenStream): number[] {
  const starts = Array.from(documentStart);
  return starts.map((start) => starts.lastIndexOf(start) + 1 - start);
}
