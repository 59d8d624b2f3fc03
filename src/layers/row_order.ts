/**
 * Where the rows of a linear layer as a model's files have them are in the merged weight. Mostly
 * they follow each other, and nothing is to be done.
 *
 * They do not where several matrices are one layer, such as q, k and v as one `qkv_proj`, and one
 * of them ends at no multiple of 16; and where a family rotates other pairs of a head's components
 * than the kernels. Rows of weights, biases and adapters' B are all moved by the two functions here.
 *
 * @module
 */

/** For each row of a tensor the row of the layer's span in the merged weight. */
export type RowOrder = Uint32Array<ArrayBuffer>;

/** The rows of a linear layer in a merged weight. */
export interface OrderedRows {
  /** Rows of the merged weight from its first to its last: gaps between them count. */
  rows: number;
  /**
   * Where each row of its tensor is among them; rows that none is at are zero. Left out where each
   * is at its own place.
   */
  order?: RowOrder;
}

/** Rows of the tensor: the layer's output features. */
export function outFeaturesOf({ rows, order }: OrderedRows): number {
  return order?.length ?? rows;
}

/** Values by rows: f32, or bytes of any element. */
type RowValues = Float32Array<ArrayBuffer> | Uint8Array<ArrayBuffer>;

/**
 * Moves packed rows of a tensor to where the merged weight has them.
 *
 * @param values [outFeatures, any]; a vector is rows of one value.
 * @param gap The value of rows that no row of the tensor is at.
 * @returns [rows, any]; the same array where there is nothing to move.
 */
export function toMerged<T extends RowValues>(part: OrderedRows, values: T, gap = 0): T {
  const { rows, order } = part;
  if (!order) return values;
  const size = values.length / order.length;
  const merged = newLike(values, rows * size).fill(gap) as T;
  order.forEach((row, i) => merged.set(values.subarray(i * size, (i + 1) * size), row * size));
  return merged;
}

/**
 * Moves packed rows of the merged weight back: the inverse of {@linkcode toMerged}.
 *
 * @param values [rows, any]
 * @returns [outFeatures, any]; the same array where there is nothing to move.
 */
export function toStored<T extends RowValues>(part: OrderedRows, values: T): T {
  const { rows, order } = part;
  if (!order) return values;
  const size = values.length / rows;
  const stored = newLike(values, order.length * size);
  order.forEach((row, i) => stored.set(values.subarray(row * size, (row + 1) * size), i * size));
  return stored;
}

function newLike<T extends RowValues>(values: T, length: number): T {
  return new (values.constructor as new (length: number) => T)(length);
}
