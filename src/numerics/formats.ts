/**
 * The number formats that values are stored and multiplied in, as data: how large a value is, how
 * its scale is made, how kernels decode and encode it, what files call it.
 *
 * Code asks a format's fields. Its name appears only where someone chooses it, as in `weights:
 * FORMATS.e4m3`, and in WGSL as the ending of functions. So a new format is a record here, its
 * codec beside `fp8.ts`, its functions in an include of `wgsl/`, and a line in
 * `kernels/gemm/products.ts` where a kernel multiplies it.
 *
 * @module
 */

import { E4M3, E5M2, encodeFp8Array, fp8DecodeTable } from "./fp8.ts";

/** Names of the formats: the element types of matrices that are multiplied. */
export type FormatName = "f32" | "f16" | "e4m3" | "e5m2";

/** What shares a scale. `tensor` is what the FALQON paper uses, `row` costs less and is finer. */
export type ScaleGranularity = "row" | "tensor";

/** Every {@linkcode ScaleGranularity}. */
export const SCALE_GRANULARITIES: readonly ScaleGranularity[] = ["row", "tensor"];

/**
 * How the scale that values are multiplied by before they are encoded follows from their largest
 * magnitude.
 */
export type ScaleRule =
  /**
   * It brings the largest magnitude to the format's maximum. Values that vanish have the scale
   * `vanishing`, if given, else that of 2⁻¹⁰⁰. A format of gradients gives none: the smallest scale
   * of a gradient must tell its largest row.
   */
  | { readonly kind: "to maximum"; readonly vanishing?: number }
  /** It is the power of two that brings the largest magnitude into [below / 2, below). */
  | { readonly kind: "power of two"; readonly below: number };

/** The exact codec of a format of one byte per value, on the CPU. */
export interface ByteCodec {
  /** Encodes f32 values, one code each; what is out of range saturates. */
  readonly encode: (values: Float32Array) => Uint8Array<ArrayBuffer>;
  /** The values of all 256 codes, to be read only. */
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
   * adds up 64 products in f16: neither may these overflow nor small ones vanish. Tensor cores add
   * in f32 and take it as it is.
   */
  readonly packFactor: number;
  /** The same for a right operand whose left one has this format too. */
  readonly packFactorBesideSame: number;
}

/** A number format. */
export interface NumberFormat {
  /** Also the element type of matrices, and the ending of its functions in WGSL. */
  readonly name: FormatName;
  /** Bytes per value. */
  readonly bytes: number;
  /** The largest finite magnitude. */
  readonly max: number;
  /** How scales are made; null where values are stored unscaled. */
  readonly scale: ScaleRule | null;
  /** What may share a scale; none where there is none. */
  readonly granularities: readonly ScaleGranularity[];
  /** As an operand of half-precision kernels; null where it would lose bits. */
  readonly f16: F16Operand | null;
  /**
   * The power of two by which what scales bring to the largest value can grow further within f16:
   * where gradients are quantised, their scales tell how they come within f16. Null without scales.
   */
  readonly f16Headroom: number | null;
  /** The codec; null for formats of more than one byte, which typed arrays convert. */
  readonly codec: ByteCodec | null;
  /**
   * The file in `wgsl/` with `pack4_<name>` and `unpack4_<name>`; null where WGSL does it by
   * itself.
   */
  readonly include: string | null;
  /** What safetensors files call it. */
  readonly dtype: "F32" | "F16" | "F8_E4M3" | "F8_E5M2";
}

/** The formats, by name. */
export const FORMATS = {
  /** IEEE single precision: accumulation, and whatever is not rounded. */
  f32: {
    name: "f32",
    bytes: 4,
    max: (2 - 2 ** -23) * 2 ** 127,
    scale: null,
    granularities: [],
    f16: null,
    f16Headroom: null,
    codec: null,
    include: null,
    dtype: "F32",
  },
  /** IEEE half precision. It has bits to spare, so scales are powers of two and exact. */
  f16: {
    name: "f16",
    bytes: 2,
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
    max: E4M3.max,
    scale: { kind: "to maximum", vanishing: 1 },
    granularities: SCALE_GRANULARITIES,
    // Shifted values are up to 1.75. Two such would vanish in each other's products, so one side
    // keeps its value.
    f16: { decodeFactor: 2 ** 8, packFactor: 1, packFactorBesideSame: 2 ** 8 },
    f16Headroom: 2 ** 7,
    codec: {
      encode: (values) => encodeFp8Array(values, E4M3),
      values: () => fp8DecodeTable(E4M3),
    },
    include: "fp8.wgsl",
    dtype: "F8_E4M3",
  },
  /** FP8 for gradients: a wider range, a bit less of precision. */
  e5m2: {
    name: "e5m2",
    bytes: 1,
    max: E5M2.max,
    scale: { kind: "to maximum" },
    granularities: SCALE_GRANULARITIES,
    // From 57344 down to 224, to meet values of e4m3 of at most 1.75.
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
 * Whether values of ordinary size, such as weights, need a scale in a format. In f16 they fit as
 * they are: its scales are for gradients, and for sums that must not overflow.
 */
export function needsScales({ scale }: NumberFormat): boolean {
  return scale?.kind === "to maximum";
}

/**
 * Decodes codes of one byte.
 *
 * @throws {TypeError} for a format without a codec.
 */
export function decodeCodes(format: NumberFormat, codes: Uint8Array): Float32Array<ArrayBuffer> {
  const table = codecOf(format).values();
  return Float32Array.from(codes, (code) => table[code]);
}

/**
 * The codec of a format.
 *
 * @throws {TypeError} where it has none.
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
