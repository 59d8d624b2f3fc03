/**
 * The update rules of FALQON: how the optimizer's change of B reaches the FP8 codes.
 *
 * The rules are defined in f32, operation by operation, so that a GPU kernel can equal them bit
 * for bit. In code units, row i of the weight changes by `Σ_j β_ij · decode(A~_j)` with the
 * coefficient `β_ij = c · B_ij · s_W[i] / s_A[j]`. WGSL leaves it to the compiler whether a
 * multiplication and an addition become one fused operation with one rounding. So β is cut to 20
 * significant bits (see {@linkcode updateCoefficient}): an e4m3 value has at most 4, the product
 * is exact in 24, and fused or not gives the same bits; for int8, of 7 bits, it is cut to 17. What remains are additions, taken in the
 * order of j.
 *
 * @module
 */

import { type RoundingStream, threshold, UPDATE_CODECS } from "./falqon_rounding.ts";
import type { FalqonWeight } from "./falqon_weight.ts";
import { matmulNN, matmulNT } from "./matmul.ts";
import { gramInverse } from "../../src/numerics/linear_algebra.ts";
import { dot } from "./vector.ts";

/**
 * What a rule did in one step. The sums add up over layers; `realizedDotIntended / intendedSquared`
 * is the share of the intended update realized. It is 1 when the codes follow exactly, 0 when all
 * of it is rounded away, and above 1 where writing a row also rights an earlier rounding.
 */
export interface UpdateStatistics {
  /** Rows that were written, ascending. */
  rows: number[];
  /** Codes that differ from before. */
  codesChanged: number;
  /** Values beyond ±448 that were saturated. */
  clamps: number;
  /** ⟨U, U⟩ of the change U that B asks for in all rows, in units of the weight. */
  intendedSquared: number;
  /** ⟨R, U⟩ of the change R that the decoded weight made. */
  realizedDotIntended: number;
}

/** A merged weight in any format of one byte. */
export type CodedWeight = Omit<FalqonWeight, "format"> & { readonly format: { name: string } };

/** Static f32 factors of the coefficients, so that a kernel needs no division. */
export interface UpdateFactors {
  /** `s_W[i] / s_W[0]`, `[outputs]`; 1 everywhere if the scale is shared. */
  rows: Float32Array<ArrayBuffer>;
  /** `c · s_W[0] / s_A[j]`, `[rank]`; c everywhere if the scale is shared. */
  columns: Float32Array<ArrayBuffer>;
}

/**
 * Computes the factors of {@linkcode updateCoefficient}. Scales never change in training, so
 * this is done once.
 *
 * @param weight The merged weight.
 * @param scaling c.
 * @returns The factors.
 */
export function updateFactors(
  weight: Pick<CodedWeight, "scales" | "outputs">,
  scaling: number,
): UpdateFactors {
  const { scales, outputs } = weight;
  return {
    rows: scales.slice(0, outputs).map((scale) => scale / scales[0]),
    columns: scales.slice(outputs).map((scale) => scaling * scales[0] / scale),
  };
}

const scratch = new Float32Array(1);
const scratchBits = new Uint32Array(scratch.buffer);
/** Bits of 2⁻⁹⁶. From there on no product or sum of the rules is subnormal, which a GPU may flush. */
const SMALLEST_COEFFICIENT_BITS = 0x0f800000;

/**
 * β: the product `(b · column) · row`, rounded to f32 after each multiplication, its last four
 * significand bits cut off, and zero below 2⁻⁹⁶.
 *
 * @param b An element of B, an f32.
 * @param column `factors.columns[j]`.
 * @param row `factors.rows[i]`.
 * @param mask The bits that are kept: `coefficientMask` of the weight's codec; by default e4m3's.
 * @returns β, an f32, of 20 significant bits for e4m3.
 */
export function updateCoefficient(
  b: number,
  column: number,
  row: number,
  mask: number = 0xfffffff0,
): number {
  return cutProduct(b, column, row, 0, mask);
}

/**
 * β of `stochastic`: rounded to 11 significant bits, which f16 holds, ties away from zero.
 *
 * @param b An element of B or ΔB, an f32.
 * @param column `factors.columns[j]`.
 * @param row `factors.rows[i]`.
 * @returns β, an f32 with 11 significant bits.
 */
export function roundedCoefficient(b: number, column: number, row: number): number {
  return cutProduct(b, column, row, 0x1000, 0xffffe000);
}

function cutProduct(b: number, column: number, row: number, half: number, mask: number): number {
  scratch[0] = Math.fround(b * column) * row;
  const bits = scratchBits[0];
  scratchBits[0] = (bits & 0x7fffffff) < SMALLEST_COEFFICIENT_BITS ? 0 : (bits + half) & mask;
  return scratch[0];
}

/**
 * The rows with the largest Σ_j |change_ij|, the sum taken in f32 in the order of j; of equal
 * rows the lower index comes first.
 *
 * @param change `[outputs, rank]`.
 * @param rank Row width.
 * @param count How many rows; all where there are no more.
 * @returns Row indices, ascending.
 */
export function selectRows(change: Float32Array, rank: number, count: number): number[] {
  const sums = new Float32Array(change.length / rank);
  change.forEach((value, i) => sums[Math.floor(i / rank)] += Math.abs(value));
  return Array.from(sums.keys())
    .sort((i, j) => sums[j] - sums[i] || i - j)
    .slice(0, count)
    .sort((i, j) => i - j);
}

/**
 * The published rule: the change in the top rows is added to the codes, and all of B is zeroed,
 * so that what the other rows asked for, and what rounding lost, is gone.
 *
 * @param weight Its codes are updated in place.
 * @param b The optimizer's change ΔB `[outputs, rank]`; zeroed.
 * @param topK Rows to write.
 * @returns What was done.
 */
export function updatePaper(weight: CodedWeight, b: Float32Array, topK: number): UpdateStatistics {
  const rows = selectRows(b, weight.rank, topK);
  const { statistics } = writeRows(weight, weight.codes, b, b, 1, rows);
  b.fill(0);
  return statistics;
}

/**
 * As the published rule, but B keeps what was not applied: rows that were not selected entirely,
 * and of a written row what rounding lost. The realized change d of its codes is brought back to
 * coefficients by the pseudo-inverse of A~, `d·A~ᵀ·(A~·A~ᵀ)⁻¹`, and taken off B; what lies
 * outside A's row space, B cannot express.
 *
 * The codes are exact to the bit; the new B is computed in f64 and a kernel's may differ from it
 * by rounding.
 *
 * @param weight Its codes are updated in place.
 * @param b The buffer `[outputs, rank]`, updated in place.
 * @param topK Rows to write.
 * @returns What was done.
 */
export function updateAccumulate(
  weight: CodedWeight,
  b: Float32Array,
  topK: number,
): UpdateStatistics {
  const { rank, inputs } = weight;
  const a = codeValues(weight, weight.outputs, rank);
  const inverse = gramInverse(a, rank);
  const factors = updateFactors(weight, 1);
  const rows = selectRows(b, rank, topK);
  const { statistics, change } = writeRows(weight, weight.codes, b, b, 1, rows);
  for (const i of rows) {
    const d = change.subarray(i * inputs, (i + 1) * inputs);
    const realized = matmulNN(matmulNT(d, a, 1, rank, inputs), inverse, 1, rank, rank);
    for (let j = 0; j < rank; j++) {
      b[i * rank + j] -= realized[j] / (factors.columns[j] * factors.rows[i]);
    }
  }
  return statistics;
}

/**
 * The default rule: a written row is the rounding of the frozen reference plus all of B, so
 * roundings never add up. B is a master that is never zeroed.
 *
 * @param weight Its codes are updated in place.
 * @param reference The codes of the weight before training, `[outputs, inputs]`.
 * @param b The master B `[outputs, rank]`.
 * @param bFlushed The B that each row was last written with; updated for the written rows.
 * @param scaling c = alpha / rank.
 * @param topK Rows to write, those with the largest pending change; by default all.
 * @param rounding Thresholds to round stochastically, the same in every step; null to round to nearest.
 * @returns What was done; the intended change is that since each row was last written.
 */
export function updateRequantize(
  weight: CodedWeight,
  reference: Uint8Array,
  b: Float32Array,
  bFlushed: Float32Array,
  scaling: number,
  topK: number = Infinity,
  rounding: RoundingStream | null = null,
): UpdateStatistics {
  const { rank } = weight;
  const pending = b.map((value, i) => value - bFlushed[i]);
  const rows = selectRows(pending, rank, topK);
  const how = { rounding: rounding && { ...rounding, step: null } };
  const { statistics } = writeRows(weight, reference, b, pending, scaling, rows, how);
  for (const i of rows) {
    bFlushed.set(b.subarray(i * rank, (i + 1) * rank), i * rank);
  }
  return statistics;
}

/**
 * The default rule, with one copy of the weight: each code is the rounding of what the weight was before training plus
 * c·B·A, by the element's own threshold. What it was before training is recovered from the code, the threshold and B before
 * the step, so that no reference is kept, and no roundings add up.
 *
 * @param weight Its codes are updated in place.
 * @param b B after the step `[outputs, rank]`.
 * @param change What the step changed it by.
 * @param scaling c = alpha / rank.
 * @param rounding The thresholds of this tensor.
 * @returns What was done; the intended change is that of the step.
 */
export function updateStochastic(
  weight: CodedWeight,
  b: Float32Array,
  change: Float32Array,
  scaling: number,
  rounding: RoundingStream,
): UpdateStatistics {
  const before = b.map((value, i) => value - change[i]);
  const how = {
    rounding: { ...rounding, step: null },
    coefficient: roundedCoefficient,
    before,
  };
  return writeRows(weight, weight.codes, b, change, scaling, allRows(weight), how).statistics;
}

/**
 * Every code is rounded from itself plus the change, by a threshold that goes on from step to step: what is left of
 * `updateStochastic` where nothing but one step's change is known.
 *
 * @param weight Its codes are updated in place.
 * @param change The optimizer's change ΔB `[outputs, rank]`.
 * @param scaling c = alpha / rank.
 * @param rounding The thresholds of this step of this tensor.
 * @returns What was done.
 */
export function updateInPlace(
  weight: CodedWeight,
  change: Float32Array,
  scaling: number,
  rounding: RoundingStream,
): UpdateStatistics {
  const how = { rounding, coefficient: roundedCoefficient };
  return writeRows(weight, weight.codes, change, change, scaling, allRows(weight), how).statistics;
}

/** What a kernel's own arithmetic makes of {@linkcode updateProduct}. */
export interface ProductOnGpu {
  /** `[outputs, rank]`, as a GPU divided: WGSL leaves 2.5 units in the last place to a division. Default: exact divisions. */
  factor?: Float32Array;
  /** By how much a sum may be off, as a share of the sum of its magnitudes. Default 0. */
  slack?: number;
}

/**
 * `updateInPlace` where A is trained as well: `c·Δ(B·A) = c·(ΔB·A + B_old·ΔA)` is one product of twice the
 * rank, whose right factor is `[A~; ΔA~]`, each row with a scale of its own.
 *
 * @param weight `[W~; A~; ΔA~]`, its rank twice that of B; the codes of W are updated in place.
 * @param b B after the step `[outputs, rank / 2]`.
 * @param change What the step changed it by.
 * @param scaling c = alpha / rank.
 * @param rounding The thresholds of this step of this tensor.
 * @returns What was done, and the codes of sums that are lower, and higher, by the slack.
 */
export function updateProduct(
  weight: CodedWeight,
  b: Float32Array,
  change: Float32Array,
  scaling: number,
  rounding: RoundingStream,
  { factor: given, slack }: ProductOnGpu = {},
): UpdateStatistics & { around: [Uint8Array, Uint8Array] } {
  const { scales, outputs, rank } = weight;
  const half = rank / 2;
  const intended = new Float32Array(outputs * rank);
  const factor = given ?? new Float32Array(outputs * rank);
  for (let i = 0; i < outputs; i++) {
    for (let j = 0; j < rank; j++) {
      const at = i * half + j % half;
      const value = j < half ? change[at] : Math.fround(b[at] - change[at]);
      intended[i * rank + j] = value;
      if (!given) factor[i * rank + j] = value * Math.fround(scaling / scales[outputs + j]);
    }
  }
  const factors = { rows: scales.slice(0, outputs), columns: new Float32Array(rank).fill(1) };
  const how = { rounding, coefficient: roundedCoefficient, factors, slack };
  const rows = allRows(weight);
  const done = writeRows(weight, weight.codes, factor, intended, scaling, rows, how);
  return { ...done.statistics, around: done.around };
}

function allRows({ outputs }: CodedWeight): number[] {
  return Array.from({ length: outputs }, (_, i) => i);
}

/**
 * Writes `encode(base + β·A~)` into the given rows; `intended` is only measured. With `before`, the base holds codes that were
 * made by this B, and is what they were made from.
 */
function writeRows(
  weight: CodedWeight,
  base: Uint8Array,
  b: Float32Array,
  intended: Float32Array,
  scaling: number,
  rows: number[],
  {
    rounding = null,
    coefficient = updateCoefficient,
    factors = updateFactors(weight, scaling),
    before = null,
    slack = 0,
  }: {
    rounding?: RoundingStream | null;
    factors?: UpdateFactors;
    coefficient?: typeof updateCoefficient;
    before?: Float32Array | null;
    slack?: number;
  } = {},
): { statistics: UpdateStatistics; change: Float64Array; around: [Uint8Array, Uint8Array] } {
  const { codes, scales, outputs, inputs, rank } = weight;
  const { max, values: decoded, encode, stochastic, coefficientMask } =
    UPDATE_CODECS[weight.format.name];
  const a = codeValues(weight, outputs, rank);
  const change = new Float64Array(outputs * inputs);
  const around: [Uint8Array, Uint8Array] = [
    new Uint8Array(outputs * inputs),
    new Uint8Array(outputs * inputs),
  ];
  let codesChanged = 0;
  let clamps = 0;
  for (const i of rows) {
    const betaOf = (of: Float32Array) =>
      factors.columns.map((column, j) =>
        coefficient(of[i * rank + j], column, factors.rows[i], coefficientMask)
      );
    const beta = betaOf(b);
    const betaBefore = before && betaOf(before);
    for (let k = 0; k < inputs; k++) {
      const sumOf = (beta: Float32Array) => {
        let sum = 0;
        for (let j = 0; j < rank; j++) sum = Math.fround(sum + beta[j] * a[j * inputs + k]);
        return sum;
      };
      const at = i * inputs + k;
      const { bits, round, origin } = stochastic;
      const above = rounding ? threshold(rounding, i, k, inputs, bits) : 0;
      const from = betaBefore ? origin(base[at], sumOf(betaBefore), above) : base[at];
      const sum = sumOf(beta);
      const value = Math.fround(decoded[from] + sum);
      const codeOf = (sum: number) =>
        rounding ? round(from, sum, above) : encode(Math.fround(decoded[from] + sum));
      const code = codeOf(sum);
      const off = slack &&
        slack * beta.reduce((all, v, j) => all + Math.abs(v * a[j * inputs + k]), 0);
      around[0][at] = off ? codeOf(Math.fround(sum - off)) : code;
      around[1][at] = off ? codeOf(Math.fround(sum + off)) : code;
      change[at] = decoded[code] - decoded[codes[at]];
      if (Math.abs(value) > max) clamps++;
      if (code !== codes[at]) codesChanged++;
      codes[at] = code;
    }
  }

  const adapter = codeValues(weight, outputs, rank)
    .map((x, at) => x / scales[outputs + Math.floor(at / inputs)]);
  const asked = matmulNN(Float64Array.from(intended), adapter, outputs, inputs, rank)
    .map((x) => scaling * x);
  const realized = change.map((x, at) => x / scales[Math.floor(at / inputs)]);
  const statistics: UpdateStatistics = {
    rows,
    codesChanged,
    clamps,
    intendedSquared: dot(asked, 0, asked, 0, asked.length),
    realizedDotIntended: dot(realized, 0, asked, 0, asked.length),
  };
  return { statistics, change, around };
}

/** Decoded values of some rows, without their scales. */
function codeValues(weight: CodedWeight, firstRow: number, count: number): Float64Array {
  const { codes, inputs } = weight;
  const rows = codes.subarray(firstRow * inputs, (firstRow + count) * inputs);
  return Float64Array.from(rows, (code) => UPDATE_CODECS[weight.format.name].values[code]);
}
