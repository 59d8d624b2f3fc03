/**
 * `jsr:@std/yaml` from npm. See `links/README.md`.
 *
 * @module
 */

// @ts-types="./mod.d.ts"
export { parse } from "npm:deno-std@1.4.0/yaml/mod.js";
