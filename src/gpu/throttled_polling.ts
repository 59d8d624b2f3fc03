/**
 * Waiting for Dawn in Deno.
 *
 * @module
 */

/** Immediates within {@linkcode WINDOW_MS} that run at once: a short wait ends as early as ever. */
const EAGER = 100;
const WINDOW_MS = 10;

/** Waits under way. */
let waits = 0;

/**
 * Waits for a promise of Dawn's without spinning.
 *
 * Dawn's package looks for finished work by calling `setImmediate` again and again, 100,000 times a
 * second, each time with a new native function. In Deno these pile up until collecting them stops
 * the process: a wait of 0.2 s took up to 2.6 s on an H200, and the idle GPU lowered its clock. So
 * while such a promise is awaited, all but the first immediates of a moment come a millisecond
 * later.
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
  let windowStart = 0;
  let count = 0;
  const calm = (callback: (...args: unknown[]) => void, ...args: unknown[]) => {
    const now = performance.now();
    if (now - windowStart > WINDOW_MS) [windowStart, count] = [now, 0];
    return ++count <= EAGER ? immediately(callback, ...args) : setTimeout(callback, 1, ...args);
  };
  globalThis.setImmediate = calm as typeof globalThis.setImmediate;
}
