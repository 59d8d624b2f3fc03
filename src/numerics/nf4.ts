/**
 * The 4-bit NormalFloat with double quantisation of QLoRA (arXiv 2305.14314), as bitsandbytes lays
 * it out.
 *
 * A weight is cut into blocks of 64 values along its concatenated rows; a block's values are
 * divided by its largest magnitude and rounded to the nearest of 16 values, the
 * quantiles of a normal distribution. The magnitudes are quantised again: less their mean, in
 * groups of 256 divided by the group's largest, rounded to the nearest of the 256 values of the
 * dynamic 8-bit type (arXiv 1511.04561). In all 4.13 bits per value.
 *
 * @module
 */

/** Values that share a magnitude. */
export const NF4_BLOCK = 64;

/** Blocks whose magnitudes share a scale. */
export const NF4_GROUP = 256;

/** The 16 values in ascending order, as the paper's appendix E lists them; code 7 is zero. */
export const NF4_VALUES: Readonly<Float32Array> = Float32Array.of(
  -1,
  -0.6961928009986877,
  -0.5250730514526367,
  -0.39491748809814453,
  -0.28444138169288635,
  -0.18477343022823334,
  -0.09105003625154495,
  0,
  0.07958029955625534,
  0.16093020141124725,
  0.24611230194568634,
  0.33791524171829224,
  0.44070982933044434,
  0.5626170039176941,
  0.7229568362236023,
  1,
);

/** The code of zero. */
export const NF4_ZERO = 7;

/** The 256 values of the dynamic type in ascending order; code 127 is zero, the largest is 1. */
export const DYNAMIC_VALUES: Readonly<Float32Array> = dynamicValues();

/** The dynamic type's code of zero. */
export const DYNAMIC_ZERO = 127;

/**
 * Magnitudes of the dynamic type: in each of seven decades below 1 the centres of equal intervals,
 * twice as many as in the decade below; then zero, 1, and the negative ones.
 */
function dynamicValues(): Float32Array {
  const values = [0, 1];
  for (let decade = 0; decade < 7; decade++) {
    const intervals = 2 ** decade;
    for (let i = 0; i < intervals; i++) {
      const magnitude = 10 ** (decade - 6) * (0.1 + 0.9 * (i + 0.5) / intervals);
      values.push(magnitude, -magnitude);
    }
  }
  return Float32Array.from(values).sort();
}

/** Halfway between neighbours of ascending values, in f32: where the nearest one changes. */
export function midpoints(values: Readonly<Float32Array>): Float32Array<ArrayBuffer> {
  return Float32Array.from(
    { length: values.length - 1 },
    (_, i) => (values[i] + values[i + 1]) / 2,
  );
}

/** A weight in NF4. */
export interface Nf4Blocks {
  /** One code per element, not packed. */
  codes: Uint8Array<ArrayBuffer>;
  /** The dynamic type's code of each block's magnitude. */
  absmaxCodes: Uint8Array<ArrayBuffer>;
  /** f32, one per group: the largest distance of a magnitude from the offset. */
  groupScales: Float32Array<ArrayBuffer>;
  /** f32: the mean of the magnitudes. */
  offset: number;
}

/**
 * Quantises a weight.
 *
 * The nearest value is found by comparing with midpoints times the magnitude, in f32: every GPU
 * rounds this multiplication the same way, which is not true of a division.
 *
 * @param values The weight's rows after each other.
 * @param offset The mean of the magnitudes, where it is known: f32 sums depend on their order.
 */
export function quantizeNf4(values: Float32Array, offset?: number): Nf4Blocks {
  const absmax = blockwise(values, NF4_BLOCK, (block) => largest(block));
  const mean = offset ?? Math.fround(absmax.reduce((sum, a) => sum + a, 0) / absmax.length);
  const centred = absmax.map((a) => a - mean);
  const groupScales = blockwise(centred, NF4_GROUP, (group) => largest(group));
  return {
    codes: encode(values, NF4_BLOCK, absmax, NF4_VALUES, NF4_ZERO),
    absmaxCodes: encode(centred, NF4_GROUP, groupScales, DYNAMIC_VALUES, DYNAMIC_ZERO),
    groupScales,
    offset: mean,
  };
}

/** Decodes a weight, in f32. */
export function dequantizeNf4(
  { codes, absmaxCodes, groupScales, offset }: Nf4Blocks,
): Float32Array<ArrayBuffer> {
  const absmax = Float32Array.from(
    absmaxCodes,
    (code, i) =>
      Math.fround(DYNAMIC_VALUES[code] * groupScales[Math.floor(i / NF4_GROUP)]) + offset,
  );
  return Float32Array.from(
    codes,
    (code, i) => NF4_VALUES[code] * absmax[Math.floor(i / NF4_BLOCK)],
  );
}

function encode(
  values: Float32Array,
  block: number,
  scales: Float32Array,
  table: Readonly<Float32Array>,
  zero: number,
): Uint8Array<ArrayBuffer> {
  const middle = midpoints(table);
  return Uint8Array.from(values, (value, i) => {
    const scale = scales[Math.floor(i / block)];
    if (scale === 0) return zero;
    let code = 0;
    for (let step = table.length / 2; step >= 1; step /= 2) {
      if (value > Math.fround(middle[code + step - 1] * scale)) code += step;
    }
    return code;
  });
}

function blockwise(
  values: Float32Array,
  block: number,
  reduce: (block: Float32Array) => number,
): Float32Array<ArrayBuffer> {
  return Float32Array.from(
    { length: Math.ceil(values.length / block) },
    (_, i) => reduce(values.subarray(i * block, (i + 1) * block)),
  );
}

function largest(values: Float32Array): number {
  return values.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
}
