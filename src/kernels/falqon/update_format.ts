/**
 * The formats that the update kernels of FALQON are written for, and what the kernels are told of
 * them: template constants of `wgsl/falqon/falqon_row.wgsl`.
 *
 * @module
 */

import type { KernelConstants } from "../../gpu/template.ts";
import { type FormatName, FORMATS } from "../../numerics/formats.ts";
import { codeConstants } from "../codes.ts";

/**
 * Significant bits of a format's values. A coefficient times a value must fit the 24 bits of f32,
 * so that sums do not depend on what a compiler fuses.
 */
const VALUE_BITS: Partial<Record<FormatName, number>> = {
  [FORMATS.e4m3.name]: 4,
  [FORMATS.int8.name]: 7,
};

/** Element types of a weight that the kernels write. */
export const UPDATE_TYPES: readonly FormatName[] = Object.keys(VALUE_BITS) as FormatName[];

/** What f16 holds: more bits than a step's change needs, and tensor cores take it in one product. */
const F16_BITS = 11;

/**
 * How many significant bits a coefficient keeps: all that stay exact where it holds the whole of B;
 * where it holds one step's change, as many as f16 has.
 */
export function coefficientBits(type: string, short: boolean): number {
  return short ? F16_BITS : 24 - VALUE_BITS[type as FormatName]!;
}

/** Whether tensor cores must take coefficients of so many bits in two parts of f16. */
export function needsTwoParts(bits: number): boolean {
  return bits > F16_BITS;
}

/**
 * The constants of a weight's format.
 *
 * - those of `codeConstants`;
 * - `COEFFICIENT_MASK`, `COEFFICIENT_HALF`: the bits of f32 that a coefficient keeps, and what is
 *   added before the others are cut off: none, or half of the last bit where only few are left.
 *
 * @param short Whether coefficients are of one step's change: see {@linkcode coefficientBits}.
 */
export function updateConstants(type: string, short: boolean): KernelConstants {
  const cut = 24 - coefficientBits(type, short);
  return {
    ...codeConstants(type),
    COEFFICIENT_MASK: `0x${((0xffffffff << cut) >>> 0).toString(16)}u`,
    COEFFICIENT_HALF: short ? `0x${(1 << (cut - 1)).toString(16)}u` : "none",
  };
}
