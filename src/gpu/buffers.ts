/**
 * Typed views of GPU buffers.
 *
 * A matrix is stored by rows with a *pitch* (elements from one row to the next) that is a multiple
 * of 16: every row starts 16-byte aligned in all element types, bytes included, and kernels read
 * whole vectors. The columns between `cols` and `pitch` are always zero; every kernel that writes a
 * matrix keeps that so. Codes of a format whose layout is `panels` lie in pieces of 128 × 64 instead,
 * with rows up to a multiple of 128, whose values do not count, and a pitch that is one of 64.
 *
 * @module
 */

import { ALL_FORMATS, type FormatName, FORMATS, type MatrixLayout } from "../numerics/formats.ts";

/**
 * Element types of GPU buffers: number formats, and integers. Codes of one byte are
 * packed four to a u32.
 */
export type ElementType = FormatName | "u32" | "i32";

/** Bytes of one element. */
export const ELEMENT_BYTES = {
  ...Object.fromEntries(ALL_FORMATS.map(({ name, bytes }) => [name, bytes])),
  u32: 4,
  i32: 4,
} as Readonly<Record<ElementType, number>>;

/** Part of a buffer: what a kernel binds. `offset` is a multiple of 256. */
export interface BufferView {
  buffer: GPUBuffer;
  /** Bytes from the start of the buffer. */
  offset: number;
  /** Bytes. */
  size: number;
}

/** A matrix [rows, cols] in a buffer: row-major, or in the panels of its type. */
export interface Matrix extends BufferView {
  rows: number;
  cols: number;
  /** Elements between the starts of two rows. */
  pitch: number;
  type: ElementType;
}

/** A vector of `length` elements. */
export interface Vector extends BufferView {
  length: number;
  type: ElementType;
}

/** `value` rounded up to a multiple of `step`. */
export function roundUp(value: number, step: number): number {
  return Math.ceil(value / step) * step;
}

/** Rows and columns of a panel. */
export const PANEL = { rows: 128, cols: 64 } as const;

/** How a matrix of a type lies in memory. */
export function layoutOf(type: ElementType): MatrixLayout {
  return Object.hasOwn(FORMATS, type) ? FORMATS[type as FormatName].layout : "rows";
}

/** The pitch of a matrix with `cols` columns. */
export function pitchOf(cols: number, type: ElementType = "f32"): number {
  return roundUp(cols, layoutOf(type) === "panels" ? PANEL.cols : 16);
}

/** Bytes of a matrix with this pitch. */
export function matrixBytes(rows: number, pitch: number, type: ElementType): number {
  const stored = layoutOf(type) === "panels" ? roundUp(rows, PANEL.rows) : rows;
  return stored * pitch * ELEMENT_BYTES[type];
}

/**
 * The matrix made of `count` rows from `first` on. The byte offset must stay a multiple of 256.
 *
 * @throws {RangeError} if the matrix has fewer rows, or if they begin inside a panel.
 */
export function rowsOf(matrix: Matrix, first: number, count: number): Matrix {
  if (first < 0 || first + count > matrix.rows) {
    throw new RangeError(`There are no rows ${first} to ${first + count} of ${matrix.rows}`);
  }
  if (layoutOf(matrix.type) === "panels" && first % PANEL.rows !== 0) {
    throw new RangeError(`Row ${first} of codes in panels is no multiple of ${PANEL.rows}`);
  }
  return {
    ...matrix,
    offset: matrix.offset + first * matrix.pitch * ELEMENT_BYTES[matrix.type],
    size: matrixBytes(count, matrix.pitch, matrix.type),
    rows: count,
  };
}

/**
 * The first `count` four-byte elements of a vector, as a view of whole groups of four.
 *
 * @throws {RangeError} if the vector has fewer.
 */
export function firstOf(vector: Vector, count: number): Vector {
  if (count > vector.length) {
    throw new RangeError(`There are no ${count} elements in a vector of ${vector.length}`);
  }
  return { ...vector, length: count, size: Math.max(16, roundUp(4 * count, 16)) };
}

/**
 * The first `length` f32 elements of a one-row matrix as a vector, a view of whole groups of four.
 */
export function asVector({ buffer, offset, cols }: Matrix, length: number = cols): Vector {
  return { buffer, offset, size: roundUp(4 * length, 16), length, type: "f32" };
}

/** Columns `column` to `column + cols` of a matrix; `column` is a multiple of 4. */
export interface ColumnBlock {
  matrix: Matrix;
  column: number;
  cols: number;
}

/** A block of columns of a matrix; all of them by default. */
export function columnsOf(matrix: Matrix, column = 0, cols: number = matrix.cols): ColumnBlock {
  return { matrix, column, cols };
}

/** Elements of a matrix on the host: f32, or codes of one byte. */
type HostElements = Float32Array<ArrayBuffer> | Uint8Array<ArrayBuffer>;

/**
 * Inserts zero columns up to the pitch into packed rows.
 *
 * @throws {RangeError} if the values are not rows × cols.
 */
export function pitched<T extends HostElements>(
  values: T,
  rows: number,
  cols: number,
  pitch: number,
): T {
  if (values.length !== rows * cols) {
    throw new RangeError(`Expected ${rows}×${cols} values, got ${values.length}`);
  }
  if (pitch === cols) return values;
  const out = newLike(values, rows * pitch);
  for (let r = 0; r < rows; r++) out.set(values.subarray(r * cols, (r + 1) * cols), r * pitch);
  return out;
}

/** Removes the columns between `cols` and the pitch. */
export function unpitched<T extends HostElements>(
  values: T,
  rows: number,
  cols: number,
  pitch: number,
): T {
  if (pitch === cols) return values;
  const out = newLike(values, rows * cols);
  for (let r = 0; r < rows; r++) {
    out.set(values.subarray(r * pitch, r * pitch + cols), r * cols);
  }
  return out;
}

function newLike<T extends HostElements>(values: T, length: number): T {
  return new (values.constructor as new (length: number) => T)(length);
}
