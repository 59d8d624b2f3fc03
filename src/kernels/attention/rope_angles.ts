/**
 * RoPE frequencies on the GPU, read by the kernel that rotates queries and keys, and by those that
 * rotate their gradients back.
 *
 * @module
 */

import type { BufferView, Vector } from "../../gpu/buffers.ts";
import type { Device } from "../../gpu/device.ts";

/** Positions whose angles are right are below this. */
export const ROPE_POSITIONS: number = 2 ** 20;

/**
 * Uploads rotary frequencies in the form that kernels multiply exactly: turns per position as a
 * fixed-point number of 44 fractional bits, in two words. The angle at any position below
 * {@linkcode ROPE_POSITIONS} is then within 2e-7 radians of position · inverseFrequency.
 *
 * @param inverseFrequencies Radians per position, `[headDim / 2]`.
 * @returns u32 `[headDim / 2, 2]`; the caller frees it.
 */
export function uploadRopeFrequencies(
  device: Device,
  inverseFrequencies: ArrayLike<number>,
): Vector {
  const words = new Uint32Array(2 * inverseFrequencies.length);
  for (let i = 0; i < inverseFrequencies.length; i++) {
    const turns = inverseFrequencies[i] / (2 * Math.PI);
    const fixed = Math.round((turns - Math.floor(turns)) * 2 ** 44);
    words[2 * i] = Math.floor(fixed / 2 ** 12); // a whole turn wraps to 0
    words[2 * i + 1] = fixed % 2 ** 12;
  }
  const vector = device.vector(words.length, "u32", "rope frequencies");
  device.write(vector, words);
  return vector;
}

/** Angles: position · frequency. */
export interface RopeAngles {
  /** u32 [tokens]: position of each token in its document, below {@linkcode ROPE_POSITIONS}. */
  positions: BufferView;
  /** From {@linkcode uploadRopeFrequencies}. */
  frequencies: Vector;
}

/**
 * Checks the angles of `tokens` tokens.
 *
 * @param kernel Name of the recorder, for the message.
 * @throws {RangeError} for too few positions, or frequencies that are not those of a head.
 */
export function checkAngles(
  kernel: string,
  { positions, frequencies }: RopeAngles,
  tokens: number,
  headDim: number,
): void {
  if (positions.size < 4 * tokens) {
    throw new RangeError(
      `${kernel}: positions has ${positions.size} bytes, not 4 for each of ${tokens} tokens`,
    );
  }
  if (frequencies.type !== "u32" || frequencies.length !== headDim) {
    throw new RangeError(
      `${kernel}: frequencies are ${frequencies.length} of ${frequencies.type}, ` +
        `not ${headDim} of u32`,
    );
  }
}
