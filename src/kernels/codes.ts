/**
 * What WGSL is told of the format that a kernel encodes to or decodes from: template constants,
 * made from its record.
 *
 * @module
 */

import type { KernelConstants } from "../gpu/template.ts";
import { formatOf } from "../numerics/formats.ts";

/**
 * The constants of kernels that write or read rows of a format with scales:
 * `wgsl/rows/row_codes.wgsl` and `row_scale.wgsl`.
 *
 * - `CODES`: its name, the ending of `pack4_…` and `unpack4_…`;
 * - `CODES_INCLUDE`: the file that has these;
 * - `CODES_WORD`: the type of four codes;
 * - `LAYOUT`: how its matrices lie in memory;
 * - `CODES_MAX`: its largest magnitude;
 * - `CODES_TOP`: what a scale brings the largest value to, that magnitude divided by the headroom;
 * - `CODES_SCALE`: `maximum`, or `power` for powers of two;
 * - `CODES_VANISHING`: the scale of rows that vanish, or `none` for that of the smallest magnitude;
 * - `CODES_EXPONENT`: the exponent field of a power-of-two scale plus that of the largest
 *   magnitude.
 *
 * @param options `vanishing`: the scale of rows that vanish; default the format's. `headroom`: by how
 * much a scale to the maximum leaves room above the largest value; default 1, none.
 * @throws {TypeError} for a type without scales.
 */
export function codeConstants(
  type: string,
  { vanishing, headroom = 1 }: { vanishing?: number; headroom?: number } = {},
): KernelConstants {
  const { name, bytes, layout, max, scale, include } = formatOf(type);
  if (!scale || !include) {
    throw new TypeError(`Rows are not quantised to ${name}: it has no scales`);
  }
  const toMaximum = scale.kind === "to maximum";
  const ofVanishing = vanishing ?? (toMaximum ? scale.vanishing : undefined);
  return {
    CODES: name,
    CODES_INCLUDE: include,
    CODES_WORD: bytes === 1 ? "u32" : "vec2<u32>",
    LAYOUT: layout,
    CODES_MAX: literal(max),
    CODES_TOP: literal(max / headroom),
    CODES_SCALE: toMaximum ? "maximum" : "power",
    CODES_VANISHING: ofVanishing === undefined ? "none" : literal(ofVanishing),
    // 127 twice for the biases, less 1 as the magnitude stays below.
    CODES_EXPONENT: toMaximum ? "none" : `${253 + Math.log2(scale.below)}u`,
  };
}

/** A number as a literal of WGSL's floats; as a string it is no declaration in the kernel. */
function literal(value: number): string {
  return Number.isInteger(value) ? value.toFixed(1) : `${value}`;
}
