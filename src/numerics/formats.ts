/**
 * The number formats that values are stored and multiplied in, as data: bytes per value, how a
 * scale is made, how kernels decode and encode a value, what files call it.
 *
 * Code reads a format's fields. Its name appears only where it is chosen, as in `weights:
 * FORMATS.e4m3`, and in WGSL as the suffix of functions. So a new format is a record here, its
 * codec beside `fp8.ts`, its functions in an include of `wgsl/`, and a line in
 * `kernels/gemm/products.ts` where a kernel multiplies it.
 *
 * @module
 */

import { E4M3, E5M2, encodeFp8Array, fp8DecodeTable } from "./fp8.ts";
import { encodeInt8Array, INT8_MAX, int8DecodeTable } from "./int8.ts";

/** Names of the formats: the element types of matrices that are multiplied. */
export type FormatName = "f32" | "f16" | "e4m3" | "e5m2" | "int8";

/**
 * The formats of 8 bits in which weights are stored: `fp8` is e4m3, with e5m2 for gradients where
 * there are any.
 */
export type CodeFormat = "fp8" | "int8";

/** Every {@linkcode CodeFormat}. */
export const CODE_FORMATS: readonly CodeFormat[] = ["fp8", "int8"];

/** What shares a scale. The FALQON paper uses `tensor`; `row` costs less and is finer. */
export type ScaleGranularity = "row" | "tensor";

/** Every {@linkcode ScaleGranularity}. */
export const SCALE_GRANULARITIES: readonly ScaleGranularity[] = ["row", "tensor"];

/**
 * How a scale is computed from the largest magnitude of the values; they are multiplied by it
 * before they are encoded.
 */
export type ScaleRule =
  /**
   * Maps the largest magnitude to the format's maximum. Values that are all zero have the scale
   * `vanishing`, if given, else that of 2⁻¹⁰⁰. A format of gradients gives none: the smallest scale
   * of a gradient must belong to its largest row.
   */
  | { readonly kind: "to maximum"; readonly vanishing?: number }
  /** The power of two that maps the largest magnitude into [below / 2, below). */
  | { readonly kind: "power of two"; readonly below: number };

/** The exact codec of a format of one byte per value, on the CPU. */
export interface ByteCodec {
  /** Encodes f32 values, one code each; values out of range saturate. */
  readonly encode: (values: Float32Array) => Uint8Array<ArrayBuffer>;
  /** The values of all 256 codes; do not modify. */
  readonly values: () => Float32Array<ArrayBuffer>;
}

/** How a format becomes the f16 that the half-precision kernels multiply. */
export interface F16Operand {
  /**
   * Kernels decode a code by shifting its bits into an f16. This is what the shifted value must be
   * multiplied by: e4m3's exponent bias is 8 below that of f16.
   */
  readonly decodeFactor: number;
  /**
   * What the shifted value is multiplied by where it is packed for packed f16 arithmetic, which
   * accumulates 64 products in f16: sums must not overflow, and small products must not vanish.
   * Tensor cores accumulate in f32 and take the shifted value as it is.
   */
  readonly packFactor: number;
  /** The same for a right operand, where the left one has this format too. */
  readonly packFactorBesideSame: number;
}

/**
 * How a matrix of a format lies in memory.
 *
 * - `rows`: by rows;
 * - `panels`: in pieces of 128 rows and 64 columns, `[rows / 128][cols / 64][128][64]`. What a tile
 *   of a product takes in a step of its contraction is then one run of memory, and the kernels that
 *   make codes write it so: nothing is packed in between.
 */
export type MatrixLayout = "rows" | "panels";

/** A number format. */
export interface NumberFormat {
  /** Also the element type of matrices, and the suffix of its functions in WGSL. */
  readonly name: FormatName;
  /** Bytes per value. */
  readonly bytes: number;
  /** How matrices lie in memory. */
  readonly layout: MatrixLayout;
  /** The largest finite magnitude. */
  readonly max: number;
  /** How scales are made; null where values are stored unscaled. */
  readonly scale: ScaleRule | null;
  /** What may share a scale; empty where values are stored unscaled. */
  readonly granularities: readonly ScaleGranularity[];
  /** How half-precision kernels read it; null where f16 would lose bits. */
  readonly f16: F16Operand | null;
  /**
   * How many powers of two are left in f16 above the largest scaled value: a quantised gradient's
   * scales also tell how to bring it into the range of f16. Null without scales.
   */
  readonly f16Headroom: number | null;
  /** The codec; null for formats of more than one byte, which typed arrays convert. */
  readonly codec: ByteCodec | null;
  /**
   * The file in `wgsl/` with `pack4_<name>` and `unpack4_<name>`; null where WGSL has it built in.
   */
  readonly include: string | null;
  /** Its dtype in safetensors files. */
  readonly dtype: "F32" | "F16" | "F8_E4M3" | "F8_E5M2" | "I8";
}

/** The formats, by name. */
export const FORMATS = {
  /** IEEE single precision: everything that is not rounded. */
  f32: {
    name: "f32",
    bytes: 4,
    layout: "rows",
    max: (2 - 2 ** -23) * 2 ** 127,
    scale: null,
    granularities: [],
    f16: null,
    f16Headroom: null,
    codec: null,
    include: null,
    dtype: "F32",
  },
  /** IEEE half precision. Its exponent range is wide, so scales are powers of two and exact. */
  f16: {
    name: "f16",
    bytes: 2,
    layout: "rows",
    max: 65504,
    scale: { kind: "power of two", below: 2 ** 4 },
    granularities: SCALE_GRANULARITIES,
    f16: { decodeFactor: 1, packFactor: 1, packFactorBesideSame: 1 },
    f16Headroom: 2 ** 10,
    codec: null,
    include: "fp8.wgsl",
    dtype: "F16",
  },
  /**
   * FP8 for weights and activations. A weight's row of zeros has the scale 1, so that it can take
   * ordinary updates.
   */
  e4m3: {
    name: "e4m3",
    bytes: 1,
    layout: "rows",
    max: E4M3.max,
    scale: { kind: "to maximum", vanishing: 1 },
    granularities: SCALE_GRANULARITIES,
    // Shifted values are up to 1.75. Products of two such values would vanish, so one side keeps
    // its value.
    f16: { decodeFactor: 2 ** 8, packFactor: 1, packFactorBesideSame: 2 ** 8 },
    f16Headroom: 2 ** 7,
    codec: {
      encode: (values) => encodeFp8Array(values, E4M3),
      values: () => fp8DecodeTable(E4M3),
    },
    include: "fp8.wgsl",
    dtype: "F8_E4M3",
  },
  /** FP8 for gradients: a wider range, one bit less of precision. */
  e5m2: {
    name: "e5m2",
    bytes: 1,
    layout: "rows",
    max: E5M2.max,
    scale: { kind: "to maximum" },
    granularities: SCALE_GRANULARITIES,
    // From 57344 down to 224, because the other operand, in e4m3, is at most 1.75.
    f16: {
      decodeFactor: 1,
      packFactor: 2 ** -8,
      packFactorBesideSame: 2 ** -8,
    },
    f16Headroom: 1,
    codec: {
      encode: (values) => encodeFp8Array(values, E5M2),
      values: () => fp8DecodeTable(E5M2),
    },
    include: "fp8.wgsl",
    dtype: "F8_E5M2",
  },
  /**
   * Integers from -127 to 127, for weights, activations and gradients: GPUs multiply them exactly,
   * and faster than anything else that WGSL reaches.
   */
  int8: {
    name: "int8",
    bytes: 1,
    layout: "panels",
    max: INT8_MAX,
    scale: { kind: "to maximum" },
    granularities: SCALE_GRANULARITIES,
    f16: null, // products are those of integers
    f16Headroom: 2 ** 9,
    codec: { encode: encodeInt8Array, values: int8DecodeTable },
    include: "int8.wgsl",
    dtype: "I8",
  },
} as const satisfies { readonly [name in FormatName]: NumberFormat & { readonly name: name } };

/** Every format. */
export const ALL_FORMATS: readonly NumberFormat[] = Object.values(FORMATS);

/** The names of the formats that values are scaled and rounded to. */
export const SCALED_FORMATS: readonly FormatName[] = ALL_FORMATS
  .filter(({ scale }) => scale !== null).map(({ name }) => name);

/**
 * The format with a name.
 *
 * @throws {TypeError} for an element type that is no format, such as `u32`.
 */
export function formatOf(name: string): NumberFormat {
  if (Object.hasOwn(FORMATS, name)) return FORMATS[name as FormatName];
  throw new TypeError(`"${name}" is no number format`);
}

/**
 * Whether values of ordinary size, such as weights, need a scale in a format. They fit f16 as they
 * are: its scales are for gradients, and for sums that must not overflow.
 */
export function needsScales({ scale }: NumberFormat): boolean {
  return scale?.kind === "to maximum";
}

/**
 * The codec of a format.
 *
 * @throws {TypeError} if it has none.
 */
export function codecOf({ name, codec }: NumberFormat): ByteCodec {
  if (codec) return codec;
  throw new TypeError(`"${name}" is no format of one byte per value`);
}

/**
 * The format of codes that safetensors files call `dtype`; null where values of that dtype are no
 * codes.
 */
export function codeFormatOf(dtype: string): NumberFormat | null {
  return ALL_FORMATS.find((format) => format.codec && format.dtype === dtype) ?? null;
}
