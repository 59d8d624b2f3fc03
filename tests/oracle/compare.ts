/**
 * How far results are from what they should be: for tests and benches alike.
 *
 * @module
 */

/** ‖got − want‖ / ‖want‖; NaN never passes a `<` comparison. */
export function relativeError(got: ArrayLike<number>, want: ArrayLike<number>): number {
  if (got.length !== want.length) {
    throw new RangeError(`${got.length} values against ${want.length}`);
  }
  let difference = 0;
  let norm = 0;
  for (let i = 0; i < want.length; i++) {
    difference += (got[i] - want[i]) ** 2;
    norm += want[i] ** 2;
  }
  return norm === 0 ? Math.sqrt(difference) : Math.sqrt(difference / norm);
}
