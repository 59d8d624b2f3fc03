/**
 * Rotary position embedding on the CPU: the frequencies that a config asks for, and turning by them.
 *
 * @module
 */

import type { RopeScaling } from "../../src/model/rope_config.ts";

/**
 * Radians per position of each plane of a head, rounded to f32 as a model has them. The llama3 scaling is told by
 * wavelengths: those longer than the original context over `lowFreqFactor` are stretched, those shorter than it over
 * `highFreqFactor` stay, between them the frequency is interpolated (transformers, `llama3`).
 */
export function inverseFrequencies(
  { headDim, ropeTheta, ropeScaling }: {
    headDim: number;
    ropeTheta: number;
    ropeScaling: RopeScaling;
  },
): Float32Array {
  return Float32Array.from({ length: headDim / 2 }, (_, i) => {
    const plain = 1 / ropeTheta ** (2 * i / headDim);
    if (ropeScaling === null) return plain;
    const stretched = plain / ropeScaling.factor;
    if (ropeScaling.type === "linear") return stretched;
    const { lowFreqFactor: low, highFreqFactor: high, originalMaxPositionEmbeddings: context } =
      ropeScaling;
    const wavelength = 2 * Math.PI / plain;
    if (wavelength < context / high) return plain;
    if (wavelength > context / low) return stretched;
    const smooth = (context / wavelength - low) / (high - low);
    return smooth * plain + (1 - smooth) * stretched;
  });
}

/**
 * Rotary position embedding in Hugging Face's half-split layout: within a head, dimension
 * `i` and `i + headDim/2` form a plane that is turned by `position · inverseFrequencies[i]`.
 *
 * @param x `[tokens, heads · headDim]`; queries and keys are rotated alike.
 * @param positions Position of each token within its document.
 * @param inverseFrequencies `[headDim / 2]`.
 * @returns The rotated copy of x.
 */
export function applyRope(
  x: Float64Array,
  positions: ArrayLike<number>,
  inverseFrequencies: ArrayLike<number>,
): Float64Array {
  return rotate(x, positions, inverseFrequencies, 1);
}

/**
 * Backward of {@linkcode applyRope}: the transpose of a rotation is the rotation back.
 *
 * @param dy Gradient of the rotated array, `[tokens, heads · headDim]`.
 * @param positions As in the forward.
 * @param inverseFrequencies As in the forward.
 * @returns The gradient of the array before rotation.
 */
export function applyRopeBackward(
  dy: Float64Array,
  positions: ArrayLike<number>,
  inverseFrequencies: ArrayLike<number>,
): Float64Array {
  return rotate(dy, positions, inverseFrequencies, -1);
}

function rotate(
  x: Float64Array,
  positions: ArrayLike<number>,
  inverseFrequencies: ArrayLike<number>,
  direction: 1 | -1,
): Float64Array {
  const half = inverseFrequencies.length;
  const width = x.length / positions.length;
  const y = new Float64Array(x.length);
  for (let t = 0; t < positions.length; t++) {
    for (let i = 0; i < half; i++) {
      const angle = positions[t] * inverseFrequencies[i];
      const cos = Math.cos(angle);
      const sin = direction * Math.sin(angle);
      for (let p = t * width + i; p < (t + 1) * width; p += 2 * half) {
        y[p] = x[p] * cos - x[p + half] * sin;
        y[p + half] = x[p + half] * cos + x[p] * sin;
      }
    }
  }
  return y;
}

/**
 * Positions and frequencies to try a rotation with.
 *
 * @param bounds As {@linkcode documentBounds} gives them.
 * @param headDim Even.
 * @returns Positions with gaps, so that all planes turn, below the 2²⁰ that the kernels take; and the usual frequencies.
 */
export function attentionRotation(bounds: Uint32Array, headDim: number) {
  return {
    positions: Uint32Array.from(
      { length: bounds.length / 2 },
      (_, t) => 997 * (t - bounds[2 * t]) % 2 ** 20,
    ),
    inverseFrequencies: Float32Array.from(
      { length: headDim / 2 },
      (_, i) => 10_000 ** (-2 * i / headDim),
    ),
  };
}
