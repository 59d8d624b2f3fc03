import { assert } from "@std/assert";

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
