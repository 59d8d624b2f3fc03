/**
 * Waiting for Dawn in Deno.
 *
 * @module
 */

/** Immediates of a wait that run at once, about a millisecond: a short wait ends as early as ever. */
export const EAGER = 100;

/** Waits under way. */
let waits = 0;

/**
 * Waits for a promise of Dawn's without spinning.
 *
 * Dawn's package looks for finished work by calling `setImmediate` again and again, 100,000 times a
 * second, each time with a new native function. In Deno these pile up until collecting them stops
 * the process: a wait of 0.2 s took up to 2.6 s on an H200, and the idle GPU lowered its clock. Deno
 * 2.9 never frees the 33 bytes behind each. So while such a promise is awaited, all but the first
 * immediates come a millisecond later.
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
  let count = 0;
  const calm = (callback: (...args: unknown[]) => void, ...args: unknown[]) =>
    ++count <= EAGER ? immediately(callback, ...args) : setTimeout(callback, 1, ...args);
  globalThis.setImmediate = calm as typeof globalThis.setImmediate;
}
