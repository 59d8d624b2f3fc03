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

/**
 * How far a sum of so many products may be off on NVIDIA's tensor cores, as a share of the sum of their magnitudes, and for
 * sums that grow, of themselves.
 *
 * They take 4 products at a time (Volta, Turing), or 8 and more, align them and the sum so far with the largest of these, and
 * truncate what comes of it to 24 bits, where f32 elsewhere is rounded: Fasi, Higham, Mikaitis and Pranesh, "Numerical
 * behavior of NVIDIA tensor cores", PeerJ Computer Science 7:e330, 2021. All errors have the sign of the sum, so that they
 * add up.
 *
 * @param products How many.
 * @param aligned Whether what the alignment cuts off each product counts as well: it is of either sign, and a sum of many loses
 * little by it, but a single sum might.
 */
export function tensorCoreError(products: number, aligned = false): number {
  return (Math.ceil(products / 4) + (aligned ? products : 0)) * 2 ** -23;
}
