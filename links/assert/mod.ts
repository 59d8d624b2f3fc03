/**
 * `jsr:@std/assert` from npm: the assertions that the tests use. See `links/README.md`.
 *
 * @module
 */

// @ts-types="./mod.d.ts"
export {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertInstanceOf,
  assertMatch,
  assertNotEquals,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "npm:deno-std@1.4.0/assert/mod.js";
