import { addScaled } from "./vector.ts";

/**
 * Looks up one row of the table for each id.
 *
 * @param table `[vocabSize, width]`.
 * @param ids Token ids.
 * @param width Row width.
 * @returns `[ids, width]`.
 */
export function embed(table: Float64Array, ids: ArrayLike<number>, width: number): Float64Array {
  const out = new Float64Array(ids.length * width);
  for (let t = 0; t < ids.length; t++) {
    out.set(table.subarray(ids[t] * width, (ids[t] + 1) * width), t * width);
  }
  return out;
}

/**
 * Backward of {@linkcode embed}: adds each row of dy to the gradient of its id's table row.
 *
 * @param dTable Gradient of the table `[vocabSize, width]`, added to in place.
 * @param dy Gradient of the lookup `[ids, width]`.
 * @param ids As in the forward.
 * @param width Row width.
 */
export function embedBackward(
  dTable: Float64Array,
  dy: Float64Array,
  ids: ArrayLike<number>,
  width: number,
): void {
  for (let t = 0; t < ids.length; t++) addScaled(dTable, ids[t] * width, 1, dy, t * width, width);
}
