/**
 * Runs tests on Dawn in place of native WebGPU: `deno test -A --no-lock --preload=tests/support/on_dawn.ts FILES`, on a
 * GPU that Dawn takes. Kernels then run without bounds checks, and those for tensor cores wherever they are chosen.
 *
 * @module
 */

import { loadDawn } from "../../src/gpu/dawn.ts";

// Written out, since importing it would open the shared device here.
Object.defineProperty(globalThis, "falqonTestsRunOnDawn", { value: true });
// For tests that open a device of their own.
Object.defineProperty(navigator, "gpu", { value: await loadDawn(), configurable: true });
