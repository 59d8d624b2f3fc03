/**
 * The sizes and tensors of a gated delta net.
 *
 * @module
 */

/**
 * A gated delta net: each value head keeps a matrix, which every token makes smaller, corrects towards
 * its value at its key, and reads with its query. See `kernels/delta_net/`.
 */
export interface DeltaNetPlan {
  /** Query and key heads; each serves `valueHeads / keyHeads` value heads. */
  readonly keyHeads: number;
  /** Components of a query or key. */
  readonly keyDim: number;
  readonly valueHeads: number;
  /** Components of a value. */
  readonly valueDim: number;
  /** How many tokens the convolution before it sees, the last one the token itself. */
  readonly convWidth: number;
  /** Added to the mean square in the norm behind it. */
  readonly eps: number;
  /** What is no matrix of a linear layer. */
  readonly tensors: {
    /** `[2 · keyHeads · keyDim + valueHeads · valueDim, 1, convWidth]`, in the order q, k, v. */
    readonly conv: string;
    /** `[valueHeads]`, added to a before softplus. */
    readonly dtBias: string;
    /** `[valueHeads]`: decay is exp(−exp(aLog) · softplus(a + dtBias)). */
    readonly aLog: string;
    /** `[valueDim]`, of the norm behind it. */
    readonly norm: string;
  };
}

/** Channels of the convolution of a delta net: q, k and v beside each other. */
export function deltaNetChannels({ keyHeads, keyDim, valueHeads, valueDim }: DeltaNetPlan): number {
  return 2 * keyHeads * keyDim + valueHeads * valueDim;
}
