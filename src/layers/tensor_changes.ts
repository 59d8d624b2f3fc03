/**
 * What an adapter changes in tensors of a model besides the linear layers that it adapts.
 *
 * @module
 */

/** What becomes of a tensor. */
export interface TensorChange {
  /** A vector is one row; null for as many rows as the model has. */
  readonly shape: readonly [rows: number | null, cols: number];
  /** False where the new values do not depend on the old ones, which may not be there then. */
  readonly readsOld: boolean;
  /** Whether a tensor that is tied to this one follows its change. Default: it stays as it was. */
  readonly keepsTie?: boolean;
  /** The new values, from the old ones; those may be written over. */
  apply(old: Float32Array<ArrayBuffer>): Float32Array<ArrayBuffer>;
}

/** Changes by the name of the tensor. */
export type TensorChanges = ReadonlyMap<string, TensorChange>;
