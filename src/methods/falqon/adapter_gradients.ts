/**
 * The gradients of the adapters of a layer: `dB = c·Gᵀ·(x·Aᵀ)`, and where A is trained too,
 * `dA = (c·G·B)ᵀ·x`. c includes the factor of the layer's output, for dB in x·Aᵀ.
 *
 * dA is made from the codes of x that the forward took. Where these are rotated, it is rotated back:
 * AdamW goes element by element, and those of A belong to those of x.
 *
 * G·B is a product of the codes of G, which dX needs as well, and of B in codes; all parts of a
 * merged layer are one product. On tensor cores the result stays in f16 as what its codes multiply
 * to: each row within f16's range by itself.
 *
 * @module
 */

import { asVector, columnsOf, type Matrix } from "../../gpu/buffers.ts";
import type { Program } from "../../gpu/program.ts";
import { codesOfB } from "../../kernels/falqon/product.ts";
import { gemm } from "../../kernels/gemm/gemm.ts";
import { lowRankGradient } from "../../kernels/gemm/low_rank_gradient.ts";
import {
  asScaleOfF16,
  findGradientScale,
  type GradientScale,
  scaleOfF16Gradient,
} from "../../kernels/gemm/low_rank_gradient_tensor.ts";
import type { Quantized, QuantizedGradient } from "../../kernels/rows/quantize.ts";
import { rotate } from "../../kernels/rows/rotation.ts";
import type { Parameter } from "../../layers/parameters.ts";
import { formatOf } from "../../numerics/formats.ts";
import type { MergedWeight } from "./merged_weight.ts";
import type { FalqonUpdate } from "./update.ts";

/**
 * What a product of two rows of the largest codes comes to in f16, for each column. Rows are long,
 * and have few such codes: typical sums are some hundreds.
 */
const LARGEST_PRODUCT = 2 ** 8;

/** Operands of {@linkcode recordGradientsOfB}. */
export interface GradientsOfB {
  /** G [tokens, width]: f32, or f16 as its codes are scaled */
  dOutput: Matrix;
  /** The same in codes, if there are any. */
  codes: QuantizedGradient | null;
  /** f32 [tokens, rows of all A]: x·Aᵀ, times the factor of the layer's output */
  xA: Matrix;
  /** c */
  loraScale: number;
}

/**
 * Records `dB += c·Gᵀ·(x·Aᵀ)` of every part. The scale of G is known where it has codes; a G in f16 is
 * scaled like them.
 *
 * @returns The scale of the codes for values in f16, if it is known, valid as long as what it is made from.
 */
export function recordGradientsOfB(
  program: Program,
  updates: readonly FalqonUpdate[],
  { dOutput, codes, xA, loraScale }: GradientsOfB,
): GradientScale | null {
  const isF16 = dOutput.type === "f16";
  const gradientScale = isF16
    ? scaleOfF16Gradient(program, codes!)
    : findGradientScale(program, codes);
  for (const { adapter: { part, start }, b } of updates) {
    lowRankGradient(program, {
      a: columnsOf(dOutput, part.start, part.rows),
      b: columnsOf(xA, start, b.cols),
      out: b.gradient,
      alpha: loraScale,
      accumulate: true,
      gradientScale,
    });
  }
  return gradientScale && codes ? asScaleOfF16(gradientScale, codes, isF16) : null;
}

/** Operands of {@linkcode recordGradientOfA}. */
export interface GradientOfA {
  /** G in codes [tokens, width], their columns divided by the scales of W. */
  g: QuantizedGradient;
  /** From {@linkcode recordGradientsOfB}. */
  scale: GradientScale | null;
  /** x in codes [tokens, inFeatures] */
  x: Quantized;
  /** f32 [rows of all A, inFeatures] */
  a: Parameter;
}

/** Records `dA += (c·G·B)ᵀ·x` of all parts of a layer. */
export function recordGradientOfA(
  program: Program,
  { spec, weight, scales, adapterRows }: MergedWeight,
  updates: readonly FalqonUpdate[],
  { g, scale, x, a }: GradientOfA,
): void {
  const isF16 = program.device.tuning.f16Storage.gradients;
  const codes = program.scratch(adapterRows, spec.width, "B in codes", weight.type, "model");
  const columnScales = asVector(program.scratch(1, adapterRows, "scales of B in codes"));
  for (const { adapter: { part, start }, b: { value: b }, product } of updates) {
    const { largest } = product!;
    const where = { scales, wRow: part.start, largest, codes, first: start, columnScales };
    codesOfB(program, { b, ...where, inverse: isF16 });
  }
  const loraScale = updates[0].product!.loraScale * (spec.outputFactor ?? 1);
  const { rows } = x.codes;
  const dxA = program.scratch(rows, adapterRows, "gradient of x·Aᵀ", isF16 ? "f16" : "f32");
  const shrink = LARGEST_PRODUCT / (formatOf(g.codes.type).max * formatOf(codes.type).max);
  gemm(program, {
    layout: "nt",
    a: g.codes,
    b: codes,
    out: dxA,
    ...(isF16 ? { alpha: shrink } : { alpha: loraScale, rowScales: g.scales, columnScales }),
  });
  const { rotation: block = 1 } = x;
  const { gradient } = a;
  const rotated = block > 1 &&
    program.scratch(gradient.rows, gradient.cols, "rotated gradient of A", "f32", "model");
  lowRankGradient(program, {
    a: columnsOf(dxA),
    b: columnsOf(x.codes),
    bScales: x.scales,
    out: rotated || gradient,
    accumulate: !rotated,
    ...(isF16 && {
      alpha: loraScale / shrink,
      gradientScale: {
        ...(scale ?? scaleOfF16Gradient(program, g)),
        columnScales,
      },
    }),
  });
  if (rotated) rotate(program, { input: rotated, output: gradient, accumulate: true, block });
}
