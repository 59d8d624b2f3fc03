/**
 * The codec of FP8: encodes numbers to the two 8-bit floating-point formats and decodes them,
 * exactly as the kernels of this package do.
 *
 * @example Read a weight that is stored in FP8
 * ```ts
 * import { decodeFp8Array, E4M3, encodeFp8Array } from "@falqon/webgpu/fp8";
 *
 * const codes = encodeFp8Array(new Float32Array([0.1, -3, 1000]), E4M3);
 * console.log(decodeFp8Array(codes, E4M3)); // [0.1015625, -3, 448]
 * ```
 *
 * @module
 */

export {
  decodeFp8,
  decodeFp8Array,
  E4M3,
  E5M2,
  encodeFp8,
  encodeFp8Array,
  FP8_NAN,
  type Fp8Format,
} from "./src/numerics/fp8.ts";
