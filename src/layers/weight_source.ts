/**
 * Where a network's weights come from: a model folder, read tensor by tensor in ranges of rows.
 *
 * @module
 */

import { ModelError } from "../errors.ts";
import type { Matrix } from "../gpu/buffers.ts";
import type { Program } from "../gpu/program.ts";
import { bytesPerElement, type DType, toFloat32 } from "../io/dtype.ts";
import type { Weights } from "../io/weights.ts";
import { ALL_FORMATS, codeFormatOf, type NumberFormat } from "../numerics/formats.ts";
import { rotateValues } from "../numerics/hadamard.ts";

/** A matrix that is stored as codes of one byte. */
export interface StoredCodes {
  /** The format of the codes. */
  format: NumberFormat;
  /** [rows, cols] */
  codes: Uint8Array<ArrayBuffer>;
  /**
   * f32 [rows], all equal where one scale is stored: the value of a code is `decode(code) · scale`.
   */
  valueScales: Float32Array<ArrayBuffer>;
  /**
   * The block by which the rows are rotated, see numerics/hadamard.ts: the weight is what they decode
   * to, rotated. 1 where it is what they decode to.
   */
  rotation: number;
}

/** Rows of a matrix that is stored in 16 bits. */
export interface Raw16 {
  dtype: "F16" | "BF16";
  /** Packed elements, as the file has them. */
  bytes: Uint8Array<ArrayBuffer>;
}

/** Reads weights by Hugging Face parameter name. */
export interface WeightSource {
  /**
   * Reads rows `first` to `first + count` of a matrix [rows, cols] (a vector is one row) as f32.
   */
  rows(
    name: string,
    shape: readonly [rows: number, cols: number],
    first: number,
    count: number,
  ): Promise<Float32Array<ArrayBuffer>>;
  /** Reads a matrix that is stored as codes; null if it is not. */
  codes(name: string, shape: readonly [rows: number, cols: number]): Promise<StoredCodes | null>;
  /** Reads rows of a matrix that is stored in 16 bits, for the GPU to widen; null if it is not. */
  raw16?(
    name: string,
    shape: readonly [rows: number, cols: number],
    first: number,
    count: number,
  ): Promise<Raw16 | null>;
  /** For weights that the GPU makes itself: records writing a matrix into an f32 or f16 one. */
  fill?(program: Program, name: string, out: Matrix): void;
}

/** Rows to read at a time so that about `bytes` are in memory. */
export function rowsPerRead(cols: number, bytes = 1 << 26): number {
  return Math.max(64, Math.floor(bytes / (4 * cols) / 64) * 64);
}

/** The dtypes in which a matrix of a model may be stored. */
const FLOAT_DTYPES = ["F32", "F16", "BF16"];
const DTYPES = [
  ...FLOAT_DTYPES,
  ...ALL_FORMATS.filter(({ codec }) => codec).map(({ dtype }) => dtype),
];

/** The weights of an open model folder. */
export class FolderSource implements WeightSource {
  #weights: Weights;
  #rotations: ReadonlyMap<string, number>;

  /** @param rotations The blocks by which matrices are stored rotated, by name. */
  constructor(weights: Weights, rotations: ReadonlyMap<string, number> = new Map()) {
    this.#weights = weights;
    this.#rotations = rotations;
  }

  async rows(
    name: string,
    shape: readonly [number, number],
    first: number,
    count: number,
  ): Promise<Float32Array<ArrayBuffer>> {
    const { dtype } = this.#check(name, shape, FLOAT_DTYPES);
    const values = toFloat32(await this.#bytes(name, dtype, shape[1], first, count), dtype);
    const rotation = this.#rotation(name);
    return rotation === 1 ? values : rotateValues(values, rotation);
  }

  async raw16(
    name: string,
    shape: readonly [number, number],
    first: number,
    count: number,
  ): Promise<Raw16 | null> {
    const { dtype } = this.#check(name, shape, DTYPES);
    if (dtype !== "F16" && dtype !== "BF16") return null;
    if (this.#rotation(name) !== 1) return null;
    return { dtype, bytes: await this.#bytes(name, dtype, shape[1], first, count) };
  }

  #bytes(name: string, dtype: DType, cols: number, first: number, count: number) {
    const rowBytes = cols * bytesPerElement(dtype);
    return this.#weights.readRange(name, first * rowBytes, count * rowBytes);
  }

  async codes(name: string, shape: readonly [number, number]): Promise<StoredCodes | null> {
    const { dtype } = this.#check(name, shape, DTYPES);
    const format = codeFormatOf(dtype);
    if (!format) return null;
    const scaleName = `${name}_scale`;
    if (!this.#weights.has(scaleName)) {
      throw new ModelError(
        `Cannot use "${name}" as it is stored in ${format.name} and "${scaleName}" is missing: ` +
          "fetch the model again",
      );
    }
    const scale = this.#weights.info(scaleName);
    const count = scale.shape.reduce((a, b) => a * b, 1);
    if (count !== 1 && count !== shape[0]) {
      throw new ModelError(
        `Cannot use "${scaleName}" as it has ${count} values: expected 1 or ${shape[0]}, ` +
          "one for the tensor or one per row",
      );
    }
    const stored = toFloat32(await this.#weights.read(scaleName), scale.dtype);
    const valueScales = count === 1 ? new Float32Array(shape[0]).fill(stored[0]) : stored;
    const codes = await this.#weights.read(name);
    return { format, codes, valueScales, rotation: this.#rotation(name) };
  }

  #rotation(name: string): number {
    return this.#rotations.get(name) ?? 1;
  }

  #check(name: string, shape: readonly [number, number], dtypes: readonly string[]) {
    const info = this.#weights.info(name);
    const [rows, cols] = info.shape.length === 1 ? [1, info.shape[0]] : info.shape;
    if (info.shape.length > 2 || rows !== shape[0] || cols !== shape[1]) {
      const wanted = shape[0] === 1 ? [shape[1]] : shape;
      throw new ModelError(
        `Cannot use "${name}" as its shape is [${info.shape}]: config.json asks for [${wanted}], ` +
          "so one of the two files belongs to another model",
      );
    }
    if (!dtypes.includes(info.dtype)) {
      throw new ModelError(
        `Cannot use "${name}" as its dtype is ${info.dtype}: expected one of ${dtypes.join(", ")}`,
      );
    }
    return info;
  }
}

/** The weights of a network on the GPU as trained so far, adapters merged in. */
export class ParameterSource implements WeightSource {
  #read: (name: string) => Promise<Float32Array<ArrayBuffer>>;
  /** The tensor read last, kept because its ranges are read one after another. */
  #last: { name: string; values: Float32Array<ArrayBuffer> } | null = null;

  constructor(read: (name: string) => Promise<Float32Array<ArrayBuffer>>) {
    this.#read = read;
  }

  async rows(
    name: string,
    [, cols]: readonly [number, number],
    first: number,
    count: number,
  ): Promise<Float32Array<ArrayBuffer>> {
    if (this.#last?.name !== name) this.#last = { name, values: await this.#read(name) };
    return this.#last.values.slice(first * cols, (first + count) * cols);
  }

  codes(): Promise<null> {
    return Promise.resolve(null);
  }
}
