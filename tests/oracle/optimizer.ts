/** Settings of {@linkcode AdamW}, named as in PyTorch. */
export interface AdamWOptions {
  /** Step size. */
  learningRate: number;
  /** Decay of the mean of gradients. */
  beta1: number;
  /** Decay of the mean of squared gradients. */
  beta2: number;
  /** Added to the root of the second moment. */
  eps: number;
  /** Decoupled decay: each step first multiplies parameters by `1 − learningRate · weightDecay`. */
  weightDecay: number;
}

/** AdamW with bias correction, in the order of operations of `torch.optim.AdamW`. */
export class AdamW {
  /** Steps taken. */
  step = 0;
  /** Mean of gradients. */
  readonly firstMoment: Float64Array;
  /** Mean of squared gradients. */
  readonly secondMoment: Float64Array;

  /**
   * Starts with zero moments.
   *
   * @param size Number of parameters.
   */
  constructor(size: number) {
    this.firstMoment = new Float64Array(size);
    this.secondMoment = new Float64Array(size);
  }

  /**
   * Takes one step.
   *
   * @param parameters Updated in place.
   * @param gradients One a parameter.
   * @param options May change from step to step, as the learning rate does.
   */
  update(parameters: Float64Array, gradients: Float64Array, options: AdamWOptions): void {
    const { learningRate, beta1, beta2, eps, weightDecay } = options;
    const { firstMoment: m, secondMoment: v } = this;
    this.step++;
    const stepSize = learningRate / (1 - beta1 ** this.step);
    const rootCorrection = Math.sqrt(1 - beta2 ** this.step);
    for (let i = 0; i < parameters.length; i++) {
      m[i] = beta1 * m[i] + (1 - beta1) * gradients[i];
      v[i] = beta2 * v[i] + (1 - beta2) * gradients[i] ** 2;
      parameters[i] *= 1 - learningRate * weightDecay;
      parameters[i] -= stepSize * m[i] / (Math.sqrt(v[i]) / rootCorrection + eps);
    }
  }
}

/**
 * Clips gradients by their global norm as `torch.nn.utils.clip_grad_norm_` does:
 * all are multiplied by `min(1, maxNorm / (norm + 1e-6))`.
 *
 * @param gradients All arrays that share the norm, scaled in place.
 * @param maxNorm The largest norm let through.
 * @returns The norm before clipping.
 */
export function clipGradNorm(gradients: Iterable<Float64Array>, maxNorm: number): number {
  const arrays = [...gradients];
  const norm = Math.sqrt(
    arrays.reduce((total, array) => array.reduce((sum, g) => sum + g * g, total), 0),
  );
  const coefficient = Math.min(1, maxNorm / (norm + 1e-6));
  for (const array of arrays) array.forEach((g, i) => array[i] = g * coefficient);
  return norm;
}
