import { addScaled } from "./vector.ts";

/**
 * Looks up one row of the table for each id.
 *
 * @param table `[vocabSize, width]`.
 * @param ids Token ids.
 * @param width Row width.
 * @param scale Factor of the rows.
 * @returns `[ids, width]`.
 */
export function embed(
  table: Float64Array,
  ids: ArrayLike<number>,
  width: number,
  scale = 1,
): Float64Array {
  const out = new Float64Array(ids.length * width);
  for (let t = 0; t < ids.length; t++) {
    addScaled(out, t * width, scale, table, ids[t] * width, width);
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
 * @param scale As in the forward.
 */
export function embedBackward(
  dTable: Float64Array,
  dy: Float64Array,
  ids: ArrayLike<number>,
  width: number,
  scale = 1,
): void {
  for (let t = 0; t < ids.length; t++) {
    addScaled(dTable, ids[t] * width, scale, dy, t * width, width);
  }
}
