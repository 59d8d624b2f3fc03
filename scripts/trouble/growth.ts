/**
 * Whether what was measured during a long run grows: a straight line through the second half of it.
 *
 * @module
 */

/** A value after so many steps. */
export type Point = readonly [step: number, value: number];

/** How far a value may grow. */
export interface Allowed {
  /** Per thousand steps, for good. */
  perThousand: number;
  /** What garbage that waits to be collected adds at one end of the line and not at the other. */
  once: number;
}

/** What was found of a value, in its unit. */
export interface Growth {
  /** Slope of the line. */
  perThousand: number;
  /** Steps of the half. */
  steps: number;
  /** Per thousand steps, what is allowed in a run of this length: the shorter, the more is garbage. */
  allowed: number;
  verdict: "flat" | "no more than garbage takes" | "GROWS";
}

/** Points that a line is worth something through. */
const LEAST_POINTS = 6;

/**
 * Fits a line, by least squares, through the points of the second half of the steps.
 *
 * @returns Null for fewer than six points there: nothing can be said.
 */
export function growthOf(points: readonly Point[], allowed: Allowed): Growth | null {
  const last = points.at(-1)?.[0] ?? 0;
  const half = points.filter(([step]) => step >= last / 2);
  const steps = last - (half[0]?.[0] ?? 0);
  if (half.length < LEAST_POINTS || steps === 0) return null;
  const mean = (index: 0 | 1) => half.reduce((sum, it) => sum + it[index], 0) / half.length;
  const [step, value] = [mean(0), mean(1)];
  const spread = half.reduce((sum, [x]) => sum + (x - step) ** 2, 0);
  const perThousand = 1000 * half.reduce((sum, [x, y]) => sum + (x - step) * (y - value), 0) /
    spread;
  const most = allowed.perThousand + 1000 * allowed.once / steps;
  const verdict = perThousand <= allowed.perThousand
    ? "flat"
    : perThousand <= most
    ? "no more than garbage takes"
    : "GROWS";
  return { perThousand, steps, allowed: most, verdict };
}
