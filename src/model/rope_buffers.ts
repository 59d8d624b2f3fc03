/**
 * How the queries and keys of a network are turned, in the form that kernels take: layers that turn
 * alike share one buffer of frequencies.
 *
 * @module
 */

import type { Vector } from "../gpu/buffers.ts";
import type { Device } from "../gpu/device.ts";
import { type RopeAngles, uploadRopeFrequencies } from "../kernels/attention/rope_angles.ts";
import type { AttentionPlan, RopePlan } from "./plan.ts";
import { ropeInverseFrequencies } from "./rope_frequencies.ts";

/** How a block turns its queries and keys by the positions of a pass. */
export type Rotation = Omit<RopeAngles, "positions">;

/** The buffers, by what they are made of. */
export class RopeBuffers {
  readonly #device: Device;
  readonly #buffers = new Map<string, Vector>();

  constructor(device: Device) {
    this.#device = device;
  }

  /** The rotation of a layer; null for one that does not rotate. */
  of({ headDim, rope }: AttentionPlan): Rotation | null {
    if (!rope) return null;
    const { queryScale } = rope;
    return {
      frequencies: this.#frequencies(rope, headDim),
      ...(rope.factor !== 1 && !isFolded(rope, headDim) && {
        factor: { value: rope.factor, planes: rope.rotatedDims / 2 },
      }),
      ...(queryScale && {
        queryScale: {
          beta: queryScale.beta,
          context: queryScale.originalMaxPositionEmbeddings,
        },
      }),
    };
  }

  /** Frees them. */
  free(): void {
    this.#device.free(...this.#buffers.values());
  }

  #frequencies(rope: RopePlan, headDim: number): Vector {
    const key = JSON.stringify([headDim, rope.theta, rope.scaling, rope.rotatedDims]);
    const known = this.#buffers.get(key);
    if (known) return known;
    const sets = rope.scaling?.type === "longrope" ? [false, true] : [false];
    const frequencies = sets.flatMap((long) => [...ropeInverseFrequencies(rope, headDim, long)]);
    const made = uploadRopeFrequencies(this.#device, frequencies);
    this.#buffers.set(key, made);
    return made;
  }
}

/**
 * Factor of q·k. What whole heads are multiplied by as they are turned is part of it, the factor of
 * q times that of k, and so costs nothing.
 */
export function scoreScale({ scale, rope, headDim }: AttentionPlan): number {
  return rope && isFolded(rope, headDim) ? scale * rope.factor ** 2 : scale;
}

function isFolded({ rotatedDims }: RopePlan, headDim: number): boolean {
  return rotatedDims === headDim;
}
