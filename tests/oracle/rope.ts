/**
 * Rotary position embedding on the CPU: the frequencies that a config asks for, and turning by them.
 *
 * @module
 */

import type { RopePlan } from "../../src/model/plan.ts";

/** What frequencies are made of. */
export type Frequencies = Pick<RopePlan, "theta" | "scaling"> & Partial<RopePlan>;

/**
 * Radians per position of each plane of a head, the turned planes first, rounded to f32 as a model has them.
 *
 * @param long Whether for a document longer than the original context.
 */
export function inverseFrequencies(
  { theta, scaling, rotatedDims }: Frequencies,
  headDim: number,
  long = false,
): Float32Array {
  const dims = rotatedDims ?? headDim;
  const frequencies = Array.from({ length: dims / 2 }, (_, i) => 1 / theta ** (2 * i / dims));
  const still = new Array((headDim - dims) / 2).fill(0);
  return Float32Array.of(...scaled(frequencies, { theta, scaling }, long), ...still);
}

/** The definitions are those of transformers (`modeling_rope_utils`); llama3 is told by wavelengths, yarn by ramps. */
function scaled(plain: number[], { theta, scaling }: Frequencies, long: boolean): number[] {
  switch (scaling?.type) {
    case undefined:
      return plain;
    case "linear":
      return plain.map((f) => f / scaling.factor);
    case "proportional":
      return plain.map((f, i) => i < scaling.turnedPlanes ? f / scaling.factor : 0);
    case "longrope":
      return plain.map((f, i) => f / (long ? scaling.longFactors[i] : scaling.shortFactors[i]));
    case "llama3": {
      // Wavelengths longer than the original context over `low` are stretched, those shorter than it over `high` stay.
      const { factor, lowFreqFactor: low, highFreqFactor: high } = scaling;
      const context = scaling.originalMaxPositionEmbeddings;
      return plain.map((f) => {
        const wavelength = 2 * Math.PI / f;
        if (wavelength < context / high) return f;
        if (wavelength > context / low) return f / factor;
        const smooth = (context / wavelength - low) / (high - low);
        return smooth * f + (1 - smooth) * f / factor;
      });
    }
    case "yarn": {
      const { factor, betaFast, betaSlow, truncate, originalMaxPositionEmbeddings } = scaling;
      // The plane i turns  context · theta^(−2i/dims) / 2π  times in the original context.
      const bound = (turns: number) => {
        const wanted = 2 * Math.PI * turns / originalMaxPositionEmbeddings;
        return -Math.log(wanted) / Math.log(theta) * plain.length;
      };
      let [low, high] = [bound(betaFast), bound(betaSlow)];
      if (truncate) [low, high] = [Math.floor(low), Math.ceil(high)];
      low = Math.max(low, 0);
      high = Math.min(high, 2 * plain.length - 1);
      if (low === high) high += 0.001;
      return plain.map((f, i) => {
        const ramp = Math.max(0, Math.min(1, (i - low) / (high - low)));
        return f + ramp * (f / factor - f);
      });
    }
  }
}

/** What may happen to a head beside turning it; the default of each is nothing. */
export interface Turning {
  /** Factor of what the first `planes` planes turn into. */
  factor?: { value: number; planes: number };
  /** For each token, whether it is turned by `longFrequencies` instead. */
  long?: ArrayLike<boolean>;
  longFrequencies?: ArrayLike<number>;
  /** Factor of each token, of all of its planes. */
  tokenFactors?: ArrayLike<number>;
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
  turning?: Turning,
): Float64Array {
  return rotate(x, positions, inverseFrequencies, 1, turning);
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
  turning?: Turning,
): Float64Array {
  return rotate(dy, positions, inverseFrequencies, -1, turning);
}

function rotate(
  x: Float64Array,
  positions: ArrayLike<number>,
  inverseFrequencies: ArrayLike<number>,
  direction: 1 | -1,
  { factor = { value: 1, planes: 0 }, long, longFrequencies, tokenFactors }: Turning = {},
): Float64Array {
  const half = inverseFrequencies.length;
  const width = x.length / positions.length;
  const y = new Float64Array(x.length);
  for (let t = 0; t < positions.length; t++) {
    const frequencies = long?.[t] ? longFrequencies! : inverseFrequencies;
    for (let i = 0; i < half; i++) {
      const angle = positions[t] * frequencies[i];
      const size = (i < factor.planes ? factor.value : 1) * (tokenFactors?.[t] ?? 1);
      const cos = size * Math.cos(angle);
      const sin = size * direction * Math.sin(angle);
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
