/**
 * The thresholds of stochastic rounding: one key per network, which a checkpoint holds, so that a
 * resumed run rounds as the whole run would have.
 *
 * @module
 */

import type { BufferView, Vector } from "../../gpu/buffers.ts";
import type { Device } from "../../gpu/device.ts";
import { tensorKey } from "../../kernels/falqon/rounding.ts";
import { drawKey, type RandomKey } from "../../numerics/random_key.ts";

/** The thresholds of one tensor. */
export interface TensorRandom {
  /** As it is now: a checkpoint that is restored brings its own. */
  readonly key: RandomKey;
}

/** The key of a network, and its tensors in the order in which they are made. */
export class RoundingRandom {
  #key: RandomKey;
  #tensors = 0;
  readonly #device: Device;
  /** u32 [2]: the key for the checkpoint. */
  readonly #stored: Vector;

  constructor(device: Device, random: () => number) {
    this.#device = device;
    this.#key = drawKey(random);
    this.#stored = device.vector(2, "u32", "key of stochastic rounding", "model");
    device.write(this.#stored, Uint32Array.of(this.#key.low, this.#key.high));
  }

  /** The thresholds of the next tensor. */
  tensor(): TensorRandom {
    const index = this.#tensors++;
    const key = () => tensorKey(this.#key, index);
    return {
      get key() {
        return key();
      },
    };
  }

  /** Takes over the key that a checkpoint has restored. */
  async refresh(): Promise<void> {
    const [low, high] = new Uint32Array(await this.#device.read(this.#stored));
    this.#key = { low, high };
  }

  /** What a checkpoint needs. */
  state(): [string, BufferView][] {
    return [["rounding_key", this.#stored]];
  }

  /** Frees its buffer. */
  free(): void {
    this.#device.free(this.#stored);
  }
}
