/**
 * Waiting for Dawn in Deno.
 *
 * @module
 */

/** Immediates of a wait that run at once, about a millisecond: a short wait ends as early as ever. */
export const EAGER = 100;
/**
 * Milliseconds until each of the others: longer in a longer wait, whose end is then noticed late by half a
 * percent of it on average, and less in one beyond a second.
 */
const LEAST_MS = 1;
const MOST_MS = 8;
const SHARE = 1 / 100;

/** Waits under way. */
let waits = 0;

/**
 * Waits for a promise of Dawn's without spinning.
 *
 * Dawn's package looks for finished work by calling `setImmediate` again and again, 100,000 times a
 * second, each time with a new native function. In Deno these pile up until collecting them stops
 * the process: a wait of 0.2 s took up to 2.6 s on an H200, and the idle GPU lowered its clock. Deno
 * 2.9 never frees the 33 bytes behind each. So while such a promise is awaited, all but the first
 * immediates come some milliseconds later.
 */
export async function throttledWait<T>(promise: Promise<T>): Promise<T> {
  if (waits++ === 0) slowDown();
  try {
    return await promise;
  } finally {
    if (--waits === 0) globalThis.setImmediate = immediately;
  }
}

const immediately = globalThis.setImmediate;

function slowDown(): void {
  const begun = performance.now();
  let count = 0;
  const calm = (callback: (...args: unknown[]) => void, ...args: unknown[]) => {
    if (++count <= EAGER) return immediately(callback, ...args);
    const share = Math.floor(SHARE * (performance.now() - begun));
    return setTimeout(callback, Math.min(MOST_MS, Math.max(LEAST_MS, share)), ...args);
  };
  globalThis.setImmediate = calm as typeof globalThis.setImmediate;
}
