/**
 * The rotary frequencies of a network on the GPU: layers that rotate alike share one buffer.
 *
 * @module
 */

import type { Vector } from "../gpu/buffers.ts";
import type { Device } from "../gpu/device.ts";
import { uploadRopeFrequencies } from "../kernels/attention/rope_angles.ts";
import type { AttentionPlan } from "./plan.ts";
import { ropeInverseFrequencies } from "./rope_frequencies.ts";

/** The buffers, by what they are made of. */
export class RopeBuffers {
  readonly #device: Device;
  readonly #buffers = new Map<string, Vector>();

  constructor(device: Device) {
    this.#device = device;
  }

  /** The frequencies of a layer that rotates whole heads, from `uploadRopeFrequencies`. */
  of({ headDim, rope }: AttentionPlan): Vector {
    if (!rope) throw new TypeError("A layer without rotation has no frequencies");
    const key = JSON.stringify([headDim, rope]);
    const known = this.#buffers.get(key);
    if (known) return known;
    const made = uploadRopeFrequencies(this.#device, ropeInverseFrequencies(rope, headDim));
    this.#buffers.set(key, made);
    return made;
  }

  /** Frees them. */
  free(): void {
    this.#device.free(...this.#buffers.values());
  }
}
