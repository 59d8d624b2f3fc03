/**
 * Dropout of the adapters' inputs in training: one mask per layer and micro-batch, made again wherever
 * it is wanted.
 *
 * @module
 */

import type { BufferView, Matrix, Vector } from "../../gpu/buffers.ts";
import type { Device } from "../../gpu/device.ts";
import type { Program } from "../../gpu/program.ts";
import { countMicroBatch, dropout, DROPOUT_STATE } from "../../kernels/rows/dropout.ts";
import { drawKey } from "../../numerics/random_key.ts";

/** The masks of a network. */
export class Dropout {
  readonly #device: Device;
  /** u32: the number of the micro-batch, and a key. */
  readonly #state: Vector;
  #tensors = 0;

  constructor(device: Device, readonly rate: number, random: () => number) {
    this.#device = device;
    this.#state = device.vector(DROPOUT_STATE, "u32", "state of dropout", "model");
    const { low, high } = drawKey(random);
    device.write(this.#state, Uint32Array.of(0, low, high));
  }

  /** The mask of the next layer. */
  mask(): Mask {
    return new Mask(this.#state, this.rate, this.#tensors++);
  }

  /** Records going on to the next micro-batch. */
  next(program: Program): void {
    countMicroBatch(program, this.#state);
  }

  /** What a checkpoint needs. */
  state(): [string, BufferView][] {
    return [["dropout", this.#state]];
  }

  /** Frees its buffer. */
  free(): void {
    this.#device.free(this.#state);
  }
}

/** The mask of one layer. */
export class Mask {
  constructor(
    readonly state: Vector,
    readonly rate: number,
    readonly tensor: number,
  ) {}

  /** Records `mask ⊙ input / (1 − rate)`, in the program's scratch. */
  dropped(program: Program, input: Matrix): Matrix {
    const out = program.scratch(input.rows, input.cols, "input of adapters after dropout");
    dropout(program, { input, out, state: this.state, tensor: this.tensor, rate: this.rate });
    return out;
  }

  /** Records adding the gradient of the input, from that of what was left of it. */
  addGradient(program: Program, gradient: Matrix, dInput: Matrix): void {
    const { state, rate, tensor } = this;
    dropout(program, { input: gradient, out: dInput, state, tensor, rate, accumulate: true });
  }
}
