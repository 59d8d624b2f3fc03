/** The label of a token that is no target, as in Hugging Face. */
export const IGNORED_LABEL: number = -100;

/**
 * Turns Hugging Face labels (aligned with the ids, −100 ignored) into next-token targets:
 * token t is trained to predict the label of t + 1, unless that begins another document.
 *
 * @param labels One label a token.
 * @param documentStart For each token, where its document begins.
 * @returns One target a token; {@linkcode IGNORED_LABEL} where there is none.
 */
export function shiftLabels(
  labels: ArrayLike<number>,
  documentStart: ArrayLike<number>,
): Int32Array {
  return Int32Array.from(labels, (_, t) => {
    const next = t + 1;
    const continues = next < labels.length && documentStart[next] === documentStart[t];
    return continues ? labels[next] : IGNORED_LABEL;
  });
}

/** What {@linkcode crossEntropy} returns. */
export interface CrossEntropy {
  /** Sum of −log p(target) in nats over the targets, unscaled. */
  lossSum: number;
  /** Number of targets. */
  count: number;
  /** The gradient of `lossSum · scale`, `[tokens, vocabSize]`; zero rows where ignored. */
  dLogits: Float64Array;
}

/**
 * Softmax cross-entropy.
 *
 * @param logits `[tokens, vocabSize]`.
 * @param targets One class a token (see {@linkcode shiftLabels}), {@linkcode IGNORED_LABEL} for none.
 * @param scale Factor of the gradient: 1 / (all targets of the step) for the mean loss.
 * @param softCap c where the loss is that of c · tanh(logits / c); the gradient is that of `logits`.
 * @returns The loss sum, the number of targets and the gradient.
 */
export function crossEntropy(
  logits: Float64Array,
  targets: ArrayLike<number>,
  scale: number,
  softCap?: number,
): CrossEntropy {
  if (softCap) {
    const result = crossEntropy(
      logits.map((x) => softCap * Math.tanh(x / softCap)),
      targets,
      scale,
    );
    const dLogits = result.dLogits.map((d, i) => d / Math.cosh(logits[i] / softCap) ** 2);
    return { ...result, dLogits };
  }
  const vocabSize = logits.length / targets.length;
  const dLogits = new Float64Array(logits.length);
  let lossSum = 0;
  let count = 0;
  for (let t = 0; t < targets.length; t++) {
    if (targets[t] === IGNORED_LABEL) continue;
    const start = t * vocabSize;
    const row = logits.subarray(start, start + vocabSize);
    const max = row.reduce((a, b) => Math.max(a, b));
    const lse = max + Math.log(row.reduce((sum, x) => sum + Math.exp(x - max), 0));
    lossSum += lse - row[targets[t]];
    count++;
    for (let j = 0; j < vocabSize; j++) dLogits[start + j] = scale * Math.exp(row[j] - lse);
    dLogits[start + targets[t]] -= scale;
  }
  return { lossSum, count, dLogits };
}
