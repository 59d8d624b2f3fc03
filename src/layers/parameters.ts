/**
 * All trained values in one flat buffer, their gradients and moments in three more, so that the
 * gradient norm and AdamW are one dispatch each, and a checkpoint reads whole buffers. Where a GPU does not
 * bind so much at once, they are several segments, with a dispatch for each.
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
  /** f32 [rows, cols] */
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

/** Flat buffers of parameters that follow each other; vectors of one length. */
export interface Segment {
  readonly values: Vector;
  /** Null where none were asked for. */
  readonly gradients: Vector | null;
  /** AdamW's first and second moments; null where none were asked for. */
  readonly m: Vector | null;
  readonly v: Vector | null;
  /** Elements to which weight decay applies: the first ones. */
  readonly decayEnd: number;
}

/** A segment of parameters that an optimizer changes. */
export interface TrainedSegment extends Segment {
  readonly gradients: Vector;
  readonly m: Vector;
  readonly v: Vector;
}

type Declared = Parameter & { place(values: Matrix | null, gradients: Matrix | null): void };

/** The trained parameters of a network: declared first, then allocated together. */
export class Parameters implements Disposable {
  readonly device: Device;
  #declared: Declared[] = [];
  /** Whether the optimizer also writes over the gradients what it changes values by. */
  needsChanges = false;
  #allocated = false;
  #segments: Segment[] = [];

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
  allocate(options: AllocateOptions): void {
    this.#allocated = true;
    this.#declared.sort((a, b) => Number(b.decay) - Number(a.decay)); // stable
    let members: Declared[] = [];
    let length = 0;
    for (const parameter of this.#declared) {
      const more = paddedLength(parameter);
      if (length > 0 && (length + more) * ELEMENT_BYTES.f32 > this.device.bindingLimit) {
        this.#makeSegment(members, options);
        [members, length] = [[], 0];
      }
      members.push(parameter);
      length += more;
    }
    this.#makeSegment(members, options);
  }

  /** The flat buffers, in the order of {@linkcode Parameters.list}. */
  get segments(): readonly Segment[] {
    return this.#segments;
  }

  /**
   * The flat buffers, of parameters that an optimizer changes.
   *
   * @throws {TypeError} if they have no gradients or no moments.
   */
  get trainedSegments(): TrainedSegment[] {
    return this.#segments.map((segment) => ({
      ...segment,
      gradients: existing(segment.gradients, "gradients"),
      m: existing(segment.m, "first moments"),
      v: existing(segment.v, "second moments"),
    }));
  }

  /** The flat gradients of each segment. */
  get gradients(): Vector[] {
    return this.#segments.map(({ gradients }) => existing(gradients, "gradients"));
  }

  /** Frees the flat buffers. */
  [Symbol.dispose](): void {
    for (const { values, gradients, m, v } of this.#segments) {
      this.device.free(values, gradients, m, v);
    }
  }

  #makeSegment(members: readonly Declared[], { gradients, moments }: AllocateOptions): void {
    const offsets: number[] = [];
    let [length, decayEnd] = [0, 0];
    for (const parameter of members) {
      offsets.push(length);
      length += paddedLength(parameter);
      if (parameter.decay) decayEnd = length;
    }
    // One that is too large by itself is told by its name.
    const of = members.length === 1 ? ` (${members[0].name})` : "";
    const vector = (label: string) => this.device.vector(length, "f32", label + of, "trained");
    const segment = this.device.allOrNothing((): Segment => ({
      values: vector("trained parameters"),
      gradients: gradients ? vector("gradients") : null,
      m: moments ? vector("first moments") : null,
      v: moments ? vector("second moments") : null,
      decayEnd,
    }));
    this.#segments.push(segment);
    members.forEach((parameter, i) => {
      const at = (flat: Vector | null) =>
        flat && matrixAt(flat, offsets[i], parameter.rows, parameter.cols);
      parameter.place(at(segment.values), at(segment.gradients));
    });
  }
}

/** Elements of a parameter with those up to the next one. */
function paddedLength({ rows, cols }: Parameter): number {
  return roundUp(rows * pitchOf(cols), ALIGNMENT);
}

function existing(vector: Vector | null, what: string): Vector {
  if (!vector) throw new TypeError(`The flat buffer of ${what} was not allocated`);
  return vector;
}

function matrixAt(flat: Vector, first: number, rows: number, cols: number): Matrix {
  const pitch = pitchOf(cols);
  const offset = flat.offset + first * ELEMENT_BYTES.f32;
  const size = rows * pitch * ELEMENT_BYTES.f32;
  return { buffer: flat.buffer, offset, size, rows, cols, pitch, type: "f32" };
}
