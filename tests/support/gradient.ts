import { assert } from "@std/assert";
import { randomGenerator } from "./random.ts";

/**
 * An array of normally distributed numbers (Box-Muller).
 *
 * @param size How many.
 * @param seed Of the generator.
 * @returns The numbers, mean 0, variance 1.
 */
export function randomNormal(size: number, seed: number): Float64Array {
  const random = randomGenerator(seed);
  return Float64Array.from({ length: size }, () => {
    const radius = Math.sqrt(-2 * Math.log(1 - random()));
    return radius * Math.cos(2 * Math.PI * random());
  });
}

/**
 * Asserts that `gradient` is that of `loss` at `x`, by central differences in every direction.
 *
 * @param loss The function; reads `x` as it stands.
 * @param x The point; perturbed and restored.
 * @param gradient The claimed gradient.
 * @param name Said in the failure.
 */
export function assertGradient(
  loss: () => number,
  x: Float64Array,
  gradient: Float64Array,
  name: string,
): void {
  const step = 1e-5;
  const scale = Math.max(...gradient.map(Math.abs));
  assert(scale > 0, `${name}: the gradient is all zero, so this would check nothing`);
  for (let i = 0; i < x.length; i++) {
    const saved = x[i];
    x[i] = saved + step;
    const above = loss();
    x[i] = saved - step;
    const below = loss();
    x[i] = saved;
    const estimate = (above - below) / (2 * step);
    assert(
      Math.abs(estimate - gradient[i]) <= 1e-6 * scale,
      `${name}[${i}]: ${gradient[i]} claimed, ${estimate} by differences`,
    );
  }
}

/**
 * The relative Frobenius distance `‖actual − expected‖ / ‖expected‖`.
 *
 * @param actual The values to judge.
 * @param expected The values they should have.
 * @returns The distance; NaN if any value is.
 */
export function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length) {
    throw new Error(`${actual.length} values against ${expected.length} expected`);
  }
  let error = 0;
  let norm = 0;
  for (let i = 0; i < expected.length; i++) {
    error += (actual[i] - expected[i]) ** 2;
    norm += expected[i] ** 2;
  }
  return Math.sqrt(error / norm);
}
