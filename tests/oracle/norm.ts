/**
 * RMSNorm: `y = x · rsqrt(mean(x²) + eps) · weight`, row by row.
 *
 * @param x `[rows, width]`, the width being that of `weight`.
 * @param weight `[width]`.
 * @param eps Added to the mean square.
 * @returns y `[rows, width]`.
 */
export function rmsNorm(x: Float64Array, weight: Float64Array, eps: number): Float64Array {
  const width = weight.length;
  const y = new Float64Array(x.length);
  for (let start = 0; start < x.length; start += width) {
    const inverse = inverseRms(x, start, width, eps);
    for (let j = 0; j < width; j++) y[start + j] = x[start + j] * inverse * weight[j];
  }
  return y;
}

/** The gradients that {@linkcode rmsNormBackward} returns. */
export interface RmsNormGradients {
  /** dL/dx `[rows, width]`. */
  dx: Float64Array;
  /** dL/dweight `[width]`, summed over rows. */
  dWeight: Float64Array;
}

/**
 * Backward of {@linkcode rmsNorm}. With ρ the inverse RMS and g = dy·weight:
 * `dx = ρ·g − x·ρ³·mean(g·x)`.
 *
 * @param dy dL/dy `[rows, width]`.
 * @param x The forward's input `[rows, width]`.
 * @param weight `[width]`.
 * @param eps As in the forward.
 * @returns dL/dx and dL/dweight.
 */
export function rmsNormBackward(
  dy: Float64Array,
  x: Float64Array,
  weight: Float64Array,
  eps: number,
): RmsNormGradients {
  const width = weight.length;
  const dx = new Float64Array(x.length);
  const dWeight = new Float64Array(width);
  for (let start = 0; start < x.length; start += width) {
    const inverse = inverseRms(x, start, width, eps);
    let dot = 0;
    for (let j = 0; j < width; j++) dot += dy[start + j] * weight[j] * x[start + j];
    const pull = inverse ** 3 * dot / width;
    for (let j = 0; j < width; j++) {
      dx[start + j] = inverse * dy[start + j] * weight[j] - x[start + j] * pull;
      dWeight[j] += dy[start + j] * x[start + j] * inverse;
    }
  }
  return { dx, dWeight };
}

function inverseRms(x: Float64Array, start: number, width: number, eps: number): number {
  let sum = 0;
  for (let j = 0; j < width; j++) sum += x[start + j] ** 2;
  return 1 / Math.sqrt(sum / width + eps);
}
