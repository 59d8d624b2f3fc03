/**
 * `jsr:@std/cli/parse-args` from npm. See `links/README.md`.
 *
 * @module
 */

// @ts-types="./parse_args.d.ts"
export { parseArgs } from "npm:deno-std@1.4.0/cli/parse_args.js";
