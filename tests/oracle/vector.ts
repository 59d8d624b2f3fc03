/**
 * Sums of whole arrays; inner loops are those of src/numerics/vector.ts.
 *
 * @module
 */

export { addScaled, dot } from "../../src/numerics/vector.ts";

/**
 * The sum of two arrays.
 *
 * @param a First array.
 * @param b Second array, of the same length.
 * @returns A new array.
 */
export function add(a: Float64Array, b: Float64Array): Float64Array {
  return a.map((value, i) => value + b[i]);
}
