/**
 * The gradient of A where it is trained: `dA = (c·G·B)ᵀ·x`.
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
import { scaleOfF16Gradient } from "../../kernels/gemm/low_rank_gradient_tensor.ts";
import type { QuantizedGradient } from "../../kernels/rows/quantize.ts";
import type { Parameter } from "../../layers/parameters.ts";
import { formatOf } from "../../numerics/formats.ts";
import type { MergedWeight } from "./merged_weight.ts";
import type { FalqonUpdate } from "./update.ts";

/**
 * What a product of two rows of the largest codes comes to in f16, for each column. Rows are long,
 * and have few such codes: typical sums are some hundreds.
 */
const LARGEST_PRODUCT = 2 ** 8;

/** Operands of {@linkcode recordGradientOfA}. */
export interface GradientOfA {
  /** G in codes [tokens, width], their columns divided by the scales of W. */
  g: QuantizedGradient;
  /** f32 [tokens, inFeatures]: x */
  input: Matrix;
  /** f32 [rows of all A, inFeatures] */
  a: Parameter;
}

/** Records `dA += (c·G·B)ᵀ·x` of all parts of a layer. */
export function recordGradientOfA(
  program: Program,
  { spec, weight, scales, adapterRows }: MergedWeight,
  updates: readonly FalqonUpdate[],
  { g, input, a }: GradientOfA,
): void {
  const isF16 = program.device.tuning.f16Storage.gradients;
  const codes = program.scratch(adapterRows, spec.width, "B in codes", weight.type);
  const columnScales = asVector(program.scratch(1, adapterRows, "scales of B in codes"));
  for (const { adapter: { part, start }, b: { value: b }, product } of updates) {
    const { largest } = product!;
    const where = { scales, wRow: part.start, largest, codes, first: start, columnScales };
    codesOfB(program, { b, ...where, inverse: isF16 });
  }
  const { loraScale } = updates[0].product!;
  const a_ = { layout: "nt", a: g.codes, b: codes } as const;
  const dxA = program.scratch(
    input.rows,
    adapterRows,
    "gradient of x·Aᵀ",
    isF16 ? "f16" : "f32",
  );
  if (!isF16) {
    gemm(program, { ...a_, out: dxA, alpha: loraScale, rowScales: g.scales, columnScales });
    lowRankGradient(program, {
      a: columnsOf(dxA),
      b: columnsOf(input),
      out: a.gradient,
      accumulate: true,
    });
    return;
  }
  const shrink = LARGEST_PRODUCT / (formatOf(g.codes.type).max * formatOf(codes.type).max);
  gemm(program, { ...a_, out: dxA, alpha: shrink });
  lowRankGradient(program, {
    a: columnsOf(dxA),
    b: columnsOf(input),
    out: a.gradient,
    alpha: loraScale / shrink,
    accumulate: true,
    gradientScale: {
      ...scaleOfF16Gradient(program, { codes: g.codes, scales: g.scales }),
      columnScales,
    },
  });
}
