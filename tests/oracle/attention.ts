import { applyRopeBackward, type Turning } from "./rope.ts";
import { addScaled, dot } from "./vector.ts";

/** The head layout and the document boundaries of an attention call. */
export interface AttentionShape {
  /** Query heads. */
  numHeads: number;
  /** Key and value heads; consecutive groups of `numHeads / numKeyValueHeads` query heads share one. */
  numKeyValueHeads: number;
  /** Width of a head. */
  headDim: number;
  /** Factor of q·k. Default `1/√headDim`. */
  scale?: number;
  /** c where scaled scores become c · tanh(score / c); null or left out for none. */
  softCap?: number | null;
  /** For each token of the flat stream, where its document begins: token t attends to [documentStart[t], t]. */
  documentStart: ArrayLike<number>;
}

/** What {@linkcode attention} returns. */
export interface AttentionOutput {
  /** `[tokens, numHeads · headDim]`. */
  out: Float64Array;
  /** log Σ exp of each query's scaled and capped scores, `[tokens, numHeads]`: what the backward rebuilds the probabilities from. */
  logSumExp: Float64Array;
}

/**
 * Causal grouped-query attention over a flat stream of packed documents.
 *
 * @param q Rotated queries `[tokens, numHeads · headDim]`.
 * @param k Rotated keys `[tokens, numKeyValueHeads · headDim]`.
 * @param v Values, shaped like k.
 * @param shape Heads and document boundaries.
 * @returns The output and the log-sum-exp.
 */
export function attention(
  q: Float64Array,
  k: Float64Array,
  v: Float64Array,
  shape: AttentionShape,
): AttentionOutput {
  const { numHeads, headDim } = shape;
  const out = new Float64Array(q.length);
  const logSumExp = new Float64Array(q.length / headDim);
  forEachQuery(shape, (t, head, first, qStart, keyStart) => {
    const scores = new Float64Array(t - first + 1);
    for (let j = first; j <= t; j++) {
      scores[j - first] = score(shape, dot(q, qStart, k, keyStart(j), headDim));
    }
    const max = scores.reduce((a, b) => Math.max(a, b));
    const lse = max + Math.log(scores.reduce((sum, s) => sum + Math.exp(s - max), 0));
    logSumExp[t * numHeads + head] = lse;
    for (let j = first; j <= t; j++) {
      addScaled(out, qStart, Math.exp(scores[j - first] - lse), v, keyStart(j), headDim);
    }
  });
  return { out, logSumExp };
}

/** The gradients that {@linkcode attentionBackward} returns, each shaped like its input. */
export interface AttentionGradients {
  /** dL/dq. */
  dq: Float64Array;
  /** dL/dk, summed over the query heads of a group. */
  dk: Float64Array;
  /** dL/dv, summed over the query heads of a group. */
  dv: Float64Array;
}

/** By what `applyRope` turned q and k; its arguments. */
export interface AttentionRotation {
  /** Position of each token within its document. */
  positions: ArrayLike<number>;
  /** `[headDim / 2]`. */
  inverseFrequencies: ArrayLike<number>;
  /** What else happened to q and k. */
  turning?: Turning;
  /** Factor of each token's q. */
  queryFactors?: ArrayLike<number>;
}

/**
 * Backward of {@linkcode attention}. With P the probabilities and dP = dOut·Vᵀ:
 * `dS = P·(dP − rowsum(dOut·out))`, the row sum standing for rowsum(dP·P), times the slope of the cap.
 *
 * @param dOut dL/dout `[tokens, numHeads · headDim]`.
 * @param q The forward's queries.
 * @param k The forward's keys.
 * @param v The forward's values.
 * @param output What the forward returned.
 * @param shape As in the forward.
 * @param rotation If given, dq and dk are the gradients of what it turned into q and k.
 * @returns dL/dq, dL/dk and dL/dv.
 */
export function attentionBackward(
  dOut: Float64Array,
  q: Float64Array,
  k: Float64Array,
  v: Float64Array,
  output: AttentionOutput,
  shape: AttentionShape,
  rotation?: AttentionRotation,
): AttentionGradients {
  const { numHeads, headDim } = shape;
  const { scale = 1 / Math.sqrt(headDim), softCap } = shape;
  const dq = new Float64Array(q.length);
  const dk = new Float64Array(k.length);
  const dv = new Float64Array(v.length);
  forEachQuery(shape, (t, head, first, qStart, keyStart) => {
    const delta = dot(dOut, qStart, output.out, qStart, headDim);
    const lse = output.logSumExp[t * numHeads + head];
    for (let j = first; j <= t; j++) {
      const kStart = keyStart(j);
      const s = score(shape, dot(q, qStart, k, kStart, headDim));
      const p = Math.exp(s - lse);
      const slope = softCap ? 1 - (s / softCap) ** 2 : 1;
      const dScore = p * (dot(dOut, qStart, v, kStart, headDim) - delta) * slope * scale;
      addScaled(dv, kStart, p, dOut, qStart, headDim);
      addScaled(dq, qStart, dScore, k, kStart, headDim);
      addScaled(dk, kStart, dScore, q, qStart, headDim);
    }
  });
  if (!rotation) return { dq, dk, dv };
  const { positions, inverseFrequencies, turning, queryFactors: tokenFactors } = rotation;
  const turnedBack = (d: Float64Array, more?: Turning) =>
    applyRopeBackward(d, positions, inverseFrequencies, { ...turning, ...more });
  return { dq: turnedBack(dq, { tokenFactors }), dk: turnedBack(dk), dv };
}

/** A score: the product of a query and a key, scaled and capped. */
function score({ headDim, scale = 1 / Math.sqrt(headDim), softCap }: AttentionShape, qk: number) {
  return softCap ? softCap * Math.tanh(qk * scale / softCap) : qk * scale;
}

/** Visits every query with its head, first visible token, offset in q, and the offset in k of a token. */
function forEachQuery(
  { numHeads, numKeyValueHeads, headDim, documentStart }: AttentionShape,
  visit: (
    t: number,
    head: number,
    first: number,
    qStart: number,
    keyStart: (j: number) => number,
  ) => void,
): void {
  const group = numHeads / numKeyValueHeads;
  for (let t = 0; t < documentStart.length; t++) {
    for (let head = 0; head < numHeads; head++) {
      const kvHead = Math.floor(head / group);
      visit(
        t,
        head,
        documentStart[t],
        (t * numHeads + head) * headDim,
        (j) => (j * numKeyValueHeads + kvHead) * headDim,
      );
    }
  }
}
