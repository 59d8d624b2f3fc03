/**
 * The memory of a step, as `activation_plan.ts` lists it.
 *
 * @module
 */

import { type Matrix, matrixBytes, pitchOf } from "../gpu/buffers.ts";
import type { Device } from "../gpu/device.ts";
import type { DenseType } from "../layers/method.ts";
import {
  type ActivationMode,
  type ActivationName,
  type ActivationTypes,
  planActivations,
  type PlannedActivation,
} from "./activation_plan.ts";
import type { ModelConfig } from "./config.ts";

/** The allocated activations of a network, in the types that its layers want. */
export class Activations implements Disposable {
  readonly mode: ActivationMode;
  #device: Device;
  #config: ModelConfig;
  readonly #matrices = new Map<ActivationName, AllocatedActivation>();

  constructor(
    device: Device,
    config: ModelConfig,
    mode: ActivationMode,
    types: ActivationTypes,
  ) {
    this.#device = device;
    this.mode = mode;
    this.#config = config;
    try {
      this.fit(types);
    } catch (error) {
      this[Symbol.dispose](); // one of the later ones was over a limit
      throw error;
    }
  }

  /** Frees the activations that are not wanted any more, and makes those that are wanted now. */
  fit(types: ActivationTypes): void {
    const plan = planActivations(this.#config, this.mode, types);
    for (const [name, { type }] of this.#matrices) {
      if (!plan.some((line) => line.name === name && line.type === type)) this.#free(name);
    }
    const missing = plan.filter(({ name }) => !this.#matrices.has(name));
    for (const line of missing) this.#allocate(line);
  }

  #allocate({ name, cols, type, layers, kept }: PlannedActivation): void {
    const allocated = this.#matrices.get(name) ?? { type, owned: [], ofLayer: [] };
    this.#matrices.set(name, allocated);
    const label = kept ? `${name} ${[...layers.keys()]}` : name;
    const { tokens } = this.mode;
    const matrix = this.#device.matrix(tokens, cols, type, label);
    allocated.owned.push(matrix);
    for (const [layer, cols] of layers) {
      const pitch = pitchOf(cols);
      const size = matrixBytes(tokens, pitch, type);
      allocated.ofLayer[layer] = { ...matrix, cols, pitch, size };
    }
  }

  #free(name: ActivationName): void {
    this.#device.free(...this.#matrices.get(name)!.owned);
    this.#matrices.delete(name);
  }

  /** The first `rows` rows of an activation of block `layer`, with the columns that it has there. */
  get(name: ActivationName, rows: number, layer = 0): Matrix {
    const matrix = this.find(name, rows, layer);
    if (!matrix) throw new TypeError(`Activation "${name}" is not part of this plan`);
    return matrix;
  }

  /** The same; null where the block has no such activation. */
  find(name: ActivationName, rows: number, layer: number): Matrix | null {
    const matrix = this.#matrices.get(name)?.ofLayer[layer];
    if (!matrix) return null;
    const size = matrix.size / matrix.rows * rows;
    return { ...matrix, rows, size };
  }

  [Symbol.dispose](): void {
    for (const name of this.#matrices.keys()) this.#free(name);
  }
}

/** An activation in memory. */
interface AllocatedActivation {
  type: DenseType;
  owned: Matrix[];
  /** What each layer sees of them. */
  ofLayer: Matrix[];
}
