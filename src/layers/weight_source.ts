/**
 * Where a network's weights come from: a model folder, read tensor by tensor in ranges of rows.
 *
 * @module
 */

import { ModelError } from "../errors.ts";
import type { Matrix } from "../gpu/buffers.ts";
import type { Program } from "../gpu/program.ts";
import { bytesPerElement, type DType, toFloat32 } from "../io/dtype.ts";
import { findNotFinite } from "../io/finite.ts";
import type { Weights } from "../io/weights.ts";
import { codeFormatOf, type NumberFormat } from "../numerics/formats.ts";
import { rotateValues } from "../numerics/hadamard.ts";
import type { ScaleGrid } from "../numerics/scale_grid.ts";

/** How a matrix is stored that a file holds as codes of one byte. */
export interface CodedMatrix {
  /** The format of the codes. */
  readonly format: NumberFormat;
  /** What decoded codes are multiplied by. */
  readonly grid: ScaleGrid;
}

/** The matrices of a quantised folder that are stored as codes, by the name of their tensor. */
export type CodedMatrices = ReadonlyMap<string, CodedMatrix>;

/** A matrix that is stored as codes of one byte. */
export interface StoredCodes extends CodedMatrix {
  /** [rows, cols] */
  codes: Uint8Array<ArrayBuffer>;
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
  /**
   * Whether a matrix is one that a quantised folder leaves unquantised, so that it is to stay so where
   * nothing is trained. Default: none is.
   */
  leavesUnquantized?(name: string): boolean;
  /** Is told of a matrix that was rounded to a format, or with scales, that it is not stored in. */
  onRounded?(name: string): void;
  /** For weights that the GPU makes itself: records writing a matrix into an f32 or f16 one. */
  fill?(program: Program, name: string, out: Matrix): void;
}

/** Rows to read at a time so that about `bytes` are in memory. */
export function rowsPerRead(cols: number, bytes = 1 << 26): number {
  return Math.max(64, Math.floor(bytes / (4 * cols) / 64) * 64);
}

/** The dtypes in which a matrix of a model may be stored. */
const FLOAT_DTYPES = ["F32", "F16", "BF16"];

/** How the matrices of a folder are stored that are not stored as they are. */
export interface FolderStorage {
  /** Those that are codes; null for a folder that is not quantised. */
  coded?: CodedMatrices | null;
  /** The blocks by which matrices are stored rotated, by name. */
  rotations?: ReadonlyMap<string, number>;
}

/**
 * The weights of an open model folder. What is read is looked at: NaN and infinity are refused by the
 * name of the tensor, as codes of 8 bits would make numbers of them.
 */
export class FolderSource implements WeightSource {
  /** The matrices that were rounded to something else than they are stored in. */
  readonly rounded = new Set<string>();
  #weights: Weights;
  #coded: CodedMatrices | null;
  #rotations: ReadonlyMap<string, number>;

  constructor(weights: Weights, { coded = null, rotations = new Map() }: FolderStorage = {}) {
    this.#weights = weights;
    this.#coded = coded;
    this.#rotations = rotations;
  }

  leavesUnquantized(name: string): boolean {
    return this.#coded !== null && !this.#coded.has(name);
  }

  onRounded(name: string): void {
    this.rounded.add(name);
  }

  async rows(
    name: string,
    shape: readonly [number, number],
    first: number,
    count: number,
  ): Promise<Float32Array<ArrayBuffer>> {
    const { dtype } = this.#check(name, shape);
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
    const { dtype } = this.#check(name, shape);
    if (dtype !== "F16" && dtype !== "BF16") return null;
    if (this.#rotation(name) !== 1) return null;
    return { dtype, bytes: await this.#bytes(name, dtype, shape[1], first, count) };
  }

  async #bytes(name: string, dtype: DType, cols: number, first: number, count: number) {
    const rowBytes = cols * bytesPerElement(dtype);
    const bytes = await this.#weights.readRange(name, first * rowBytes, count * rowBytes);
    this.#expectFinite(bytes, name, dtype, cols, first);
    return bytes;
  }

  async codes(name: string, shape: readonly [number, number]): Promise<StoredCodes | null> {
    const { dtype } = this.#check(name, shape);
    const coded = this.#coded?.get(name);
    if (!coded) return null;
    const codes = await this.#weights.read(name);
    this.#expectFinite(codes, name, dtype, shape[1], 0);
    return { ...coded, codes, rotation: this.#rotation(name) };
  }

  /** Refuses elements that are no numbers, of rows from `first` on. */
  #expectFinite(
    bytes: Uint8Array<ArrayBuffer>,
    name: string,
    dtype: DType,
    cols: number,
    first: number,
  ): void {
    const outlier = findNotFinite(bytes, dtype);
    if (outlier === null) return;
    const { index, shown } = outlier;
    throw new ModelError(
      `Cannot use "${name}" of "${this.#weights.pathOf(name)}" as its element in row ` +
        `${first + Math.floor(index / cols)}, column ${
          index % cols
        } is ${shown}: weights must be ` +
        "finite numbers, so the file is damaged, or the training that made it diverged; fetch it " +
        "again, or use an earlier checkpoint",
    );
  }

  #rotation(name: string): number {
    return this.#rotations.get(name) ?? 1;
  }

  #check(name: string, shape: readonly [number, number]) {
    const info = this.#weights.info(name);
    // The weights of a convolution are a vector here: `claimed_tensors.ts` has checked their shape.
    const isVector = info.shape.length !== 2;
    const [rows, cols] = isVector ? [1, info.shape.reduce((a, b) => a * b, 1)] : info.shape;
    if (rows !== shape[0] || cols !== shape[1]) {
      const wanted = shape[0] === 1 ? [shape[1]] : shape;
      throw new ModelError(
        `Cannot use "${name}" as its shape is [${info.shape}]: config.json asks for [${wanted}], ` +
          "so one of the two files belongs to another model",
      );
    }
    const wanted = this.#coded?.get(name)?.format.dtype;
    if (wanted === undefined ? !FLOAT_DTYPES.includes(info.dtype) : info.dtype !== wanted) {
      const codes = codeFormatOf(info.dtype) ? ", and its codes have no scales here" : "";
      throw new ModelError(
        `Cannot use "${name}" as its dtype is ${info.dtype}${codes}: expected ` +
          `${wanted ?? `one of ${FLOAT_DTYPES.join(", ")}`}`,
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
