/**
 * RoPE frequencies on the GPU, and what else decides how a head is turned: read by the kernel that rotates queries and keys, and by those that
 * rotate their gradients back.
 *
 * @module
 */

import type { BufferView, Vector } from "../../gpu/buffers.ts";
import type { Device } from "../../gpu/device.ts";
import type { KernelConstants } from "../../gpu/template.ts";

/** Positions whose angles are right are below this. */
export const ROPE_POSITIONS: number = 2 ** 20;

/**
 * Uploads rotary frequencies in the form that kernels multiply exactly: turns per position as a
 * fixed-point number of 44 fractional bits, in two words. The angle at any position below
 * {@linkcode ROPE_POSITIONS} is then within 2e-7 radians of position · inverseFrequency.
 *
 * @param inverseFrequencies Radians per position, `[headDim / 2]`, or two such sets: see
 * {@linkcode RopeAngles}.
 * @returns u32 `[inverseFrequencies.length, 2]`; the caller frees it.
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
  const vector = device.vector(words.length, "u32", "rope frequencies", "model");
  device.write(vector, words);
  return vector;
}

/** Angles, position · frequency, and what else happens to queries and keys as they are turned. */
export interface RopeAngles {
  /**
   * u32 [tokens]: position of each token in its document, below {@linkcode ROPE_POSITIONS}. Where
   * there are two sets of frequencies, tokens with as much more are turned by the second one.
   */
  positions: BufferView;
  /** From {@linkcode uploadRopeFrequencies}. */
  frequencies: Vector;
  /** What cosines and sines of the first planes of a head are multiplied by. Default: nothing. */
  factor?: { value: number; planes: number };
  /** Multiplies queries by 1 + beta · ln(1 + ⌊position / context⌋). Default: not. */
  queryScale?: { beta: number; context: number };
}

/**
 * Constants of a kernel that turns queries and keys, or their gradients.
 *
 * @param queries Whether the kernel turns queries.
 */
export function ropeConstants(
  { frequencies, factor, queryScale }: RopeAngles,
  headDim: number,
  queries: boolean,
): KernelConstants {
  return {
    LONG_PLANES: frequencies.length > headDim && headDim / 2,
    TURN_FACTOR: factor !== undefined && factor.value,
    ...(factor && { TURNED_PLANES: factor.planes }),
    QUERY_BETA: queries && queryScale !== undefined && queryScale.beta,
    ...(queries && queryScale && { QUERY_CONTEXT: queryScale.context }),
  };
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
  const sets = frequencies.length / headDim;
  if (frequencies.type !== "u32" || (sets !== 1 && sets !== 2)) {
    throw new RangeError(
      `${kernel}: frequencies are ${frequencies.length} of ${frequencies.type}, ` +
        `not ${headDim} or twice as many of u32`,
    );
  }
}
