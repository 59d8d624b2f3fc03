/**
 * All trained values in one flat buffer, their gradients and moments in three more, so that the
 * gradient norm and AdamW are one dispatch each, and a checkpoint reads whole buffers.
 *
 * @module
 */

import { ELEMENT_BYTES, type Matrix, pitchOf, roundUp, type Vector } from "../gpu/buffers.ts";
import type { Device } from "../gpu/device.ts";

/** f32 elements between the starts of parameters: bindings start at multiples of 256 bytes. */
const ALIGNMENT = 256 / ELEMENT_BYTES.f32;

/** A trained matrix: a place in the flat buffers. */
export interface Parameter {
  readonly name: string;
  readonly rows: number;
  readonly cols: number;
  /** Whether weight decay applies: to matrices, not to norms. */
  readonly decay: boolean;
  /** f32 [rows, cols]; there is none where {@linkcode Parameters.keepsValues} is false. */
  readonly value: Matrix;
  /** f32 [rows, cols] */
  readonly gradient: Matrix;
}

/** Options of {@linkcode Parameters.allocate}. */
export interface AllocateOptions {
  /** Whether to allocate gradients. */
  gradients: boolean;
  /** Whether to allocate AdamW's moments. */
  moments: boolean;
}

/** The trained parameters of a network: declared first, then allocated together. */
export class Parameters implements Disposable {
  readonly device: Device;
  #declared: (Parameter & { place(values: Matrix | null, gradients: Matrix | null): void })[] = [];
  /**
   * False where a method needs only what the optimizer changes parameters by: their values are not
   * stored, and the optimizer writes its change over the gradient. To be set before allocation.
   */
  keepsValues = true;
  /** Whether the optimizer also writes over the gradients what it changes values by. */
  needsChanges = false;
  #allocated = false;
  #values: Vector | null = null;
  #gradients: Vector | null = null;
  #m: Vector | null = null;
  #v: Vector | null = null;
  /** Elements of the flat buffers to which weight decay applies: the first ones. */
  decayEnd = 0;

  constructor(device: Device) {
    this.device = device;
  }

  /** Declares a parameter; its matrices exist after {@linkcode Parameters.allocate}. */
  declare(name: string, rows: number, cols: number, decay: boolean): Parameter {
    if (this.#allocated) throw new TypeError(`Parameter ${name} is declared after allocation`);
    let value: Matrix | null = null;
    let gradient: Matrix | null = null;
    const existing = (matrix: Matrix | null, what: string): Matrix => {
      if (!matrix) throw new TypeError(`Parameter ${name} has no ${what}: it was not allocated`);
      return matrix;
    };
    const parameter = {
      name,
      rows,
      cols,
      decay,
      get value() {
        return existing(value, "value");
      },
      get gradient() {
        return existing(gradient, "gradient");
      },
      place(values: Matrix | null, gradients: Matrix | null) {
        value = values;
        gradient = gradients;
      },
    };
    this.#declared.push(parameter);
    return parameter;
  }

  /** Every declared parameter, in the order of the flat buffers once these exist. */
  get list(): readonly Parameter[] {
    return this.#declared;
  }

  /** Number of trained values, padding not counted. */
  get count(): number {
    return this.#declared.reduce((sum, { rows, cols }) => sum + rows * cols, 0);
  }

  /** Makes the flat buffers, all zero. The decayed parameters come first. */
  allocate({ gradients, moments }: AllocateOptions): void {
    this.#allocated = true;
    this.#declared.sort((a, b) => Number(b.decay) - Number(a.decay)); // stable
    const offsets: number[] = [];
    let length = 0;
    for (const { rows, cols, decay } of this.#declared) {
      offsets.push(length);
      length += roundUp(rows * pitchOf(cols), ALIGNMENT);
      if (decay) this.decayEnd = length;
    }
    if (this.keepsValues) {
      this.#values = this.device.vector(length, "f32", "trained parameters");
    }
    if (gradients) this.#gradients = this.device.vector(length, "f32", "gradients");
    if (moments) {
      this.#m = this.device.vector(length, "f32", "first moments");
      this.#v = this.device.vector(length, "f32", "second moments");
    }
    this.#declared.forEach((parameter, i) => {
      const at = (flat: Vector | null) =>
        flat && matrixAt(flat, offsets[i], parameter.rows, parameter.cols);
      parameter.place(at(this.#values), at(this.#gradients));
    });
  }

  /** The flat values; null where they are not kept. */
  get values(): Vector | null {
    return this.keepsValues ? this.#existing(this.#values, "values") : null;
  }

  /** The flat gradients. */
  get gradients(): Vector {
    return this.#existing(this.#gradients, "gradients");
  }

  /** AdamW's first moments. */
  get m(): Vector {
    return this.#existing(this.#m, "first moments");
  }

  /** AdamW's second moments. */
  get v(): Vector {
    return this.#existing(this.#v, "second moments");
  }

  /** Frees the flat buffers. */
  [Symbol.dispose](): void {
    this.device.free(this.#values, this.#gradients, this.#m, this.#v);
  }

  #existing(vector: Vector | null, what: string): Vector {
    if (!vector) throw new TypeError(`The flat buffer of ${what} was not allocated`);
    return vector;
  }
}

function matrixAt(flat: Vector, first: number, rows: number, cols: number): Matrix {
  const pitch = pitchOf(cols);
  const offset = flat.offset + first * ELEMENT_BYTES.f32;
  const size = rows * pitch * ELEMENT_BYTES.f32;
  return { buffer: flat.buffer, offset, size, rows, cols, pitch, type: "f32" };
}
