/**
 * Where the weights of a block's linear layers are stored: a tensor each, or rows of one tensor.
 *
 * @module
 */

/** The linear layers of a block; o is the last one of a mixer, attention or not. */
type UsualRole = "q" | "o" | "gate" | "up" | "down";
/** Keys and values: without v, keys as they come out of their projection are values too. */
type KeyRole = "k" | "v";
/** z: what gates the output of a mixer. Of a delta net, a: what decays its state, b: how far it learns. */
type MoreRole = "z" | "a" | "b";
export type LinearRole = UsualRole | KeyRole | MoreRole;

/** Where each weight `[outFeatures, inFeatures]` is stored. */
export type TensorMap =
  & Readonly<Record<UsualRole, TensorRows>>
  & Readonly<Partial<Record<KeyRole | MoreRole, TensorRows>>>;

/** Rows of a stored tensor: all of them, or a part where several weights are stored as one. */
export interface TensorRows {
  readonly name: string;
  readonly firstRow: number;
  readonly rows: number;
  /** Where only `of` rows of every `every` are meant, from `firstRow` on: two weights head by head. */
  readonly heads?: { readonly of: number; readonly every: number };
}

/** The row of the stored tensor that is row `row` of a weight. */
export function storedRow({ firstRow, heads }: TensorRows, row: number): number {
  if (!heads) return firstRow + row;
  return firstRow + Math.floor(row / heads.of) * heads.every + row % heads.of;
}
