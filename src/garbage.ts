/**
 * Garbage that the runtime does not see the size of. An object of WebGPU is a few bytes to V8 and kilobytes
 * to the driver, and is freed only when V8 collects all garbage, not in its quick collections of what is
 * new. A training loop makes so little other garbage that V8 waits for tens of thousands of steps:
 * meanwhile memory grows by kilobytes per step. So those who make such objects count them here.
 *
 * @module
 */

import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/** Collections take at most this share of the time, however large the heap is. */
const MOST_SHARE = 1 / 200;

/** Counts what becomes garbage, and has it collected now and then. */
export class GarbageCount {
  readonly #limit: number;
  readonly #collect: () => void;
  readonly #now: () => number;
  #count = 0;
  /** No collection before this time, in milliseconds. */
  #notBefore = -Infinity;

  /**
   * @param limit Objects that may wait to be collected.
   * @param collect Default: the runtime's collector; none if the runtime does not give it.
   * @param now The time in milliseconds.
   */
  constructor(
    limit: number,
    collect: () => void = collectGarbage,
    now: () => number = () => performance.now(),
  ) {
    this.#limit = limit;
    this.#collect = collect;
    this.#now = now;
  }

  /** Notes an object that will be garbage. */
  add(): void {
    this.#count++;
  }

  /** Collects, if it is time: call it where the thread has waited anyway, and holds as little as ever. */
  collectIfDue(): void {
    if (this.#count < this.#limit) return;
    const begun = this.#now();
    if (begun < this.#notBefore) return;
    this.#count = 0;
    this.#collect();
    const ended = this.#now();
    this.#notBefore = ended + (ended - begun) / MOST_SHARE;
  }
}

/** The runtime's collector; null if it gives none. */
let collector: (() => void) | null | undefined;

/** Collects all garbage of this thread now; nothing where the runtime does not give its collector. */
export function collectGarbage(): void {
  collector ??= findCollector();
  collector?.();
}

/**
 * V8 gives its collector to the contexts that are made while a flag is set. Whoever started this process
 * without the flag finds no `gc` in the global scope afterwards, either.
 */
function findCollector(): (() => void) | null {
  try {
    setFlagsFromString("--expose-gc");
    const found: unknown = runInNewContext("globalThis.gc");
    if (!("gc" in globalThis)) setFlagsFromString("--no-expose-gc");
    return typeof found === "function" ? () => found() : null;
  } catch {
    return null; // V8 then collects when it finds it time to
  }
}
