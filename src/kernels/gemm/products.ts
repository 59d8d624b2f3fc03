/**
 * Which GEMM kernels multiply operands of which formats, and what a device must have for each: one
 * table.
 *
 * @module
 */

import {
  F16_MATRIX,
  I8_MATRIX,
  type SubgroupMatrixConfig,
  supportsMatrix,
} from "../../gpu/subgroup_matrix.ts";
import { FORMATS, type NumberFormat } from "../../numerics/formats.ts";

/**
 * A kernel for matrix products.
 *
 * - `gemm`: f32 arithmetic on operands as they are stored;
 * - `gemm_f16`: packed f16 arithmetic, added to f32 sums every few steps;
 * - `gemm_tensor`: tensor cores, f16 operands and f32 sums;
 * - `gemm_int8`: packed dot products of int8 operands in panels, exact i32 sums;
 * - `gemm_int8_tensor`: the same on tensor cores;
 * - `gemm_int8_rows`: the same for few rows of the left operand.
 */
export type GemmKernel =
  | "gemm"
  | "gemm_f16"
  | "gemm_tensor"
  | "gemm_int8"
  | "gemm_int8_tensor"
  | "gemm_int8_rows";

/** What a kernel takes and needs. */
interface GemmProduct {
  readonly kernel: GemmKernel;
  /** Whether it takes operands of these formats. */
  readonly takes: (a: NumberFormat, b: NumberFormat) => boolean;
  /** Whether it computes with `f16`. */
  readonly needsF16: boolean;
  /** The subgroup matrices that it is made of. */
  readonly matrix?: SubgroupMatrixConfig;
}

/** Whether both operands become f16 without losing bits. */
const becomeF16 = (a: NumberFormat, b: NumberFormat) => a.f16 !== null && b.f16 !== null;

/** Whether both operands are int8, which other formats are not multiplied with. */
const areInt8 = (a: NumberFormat, b: NumberFormat) =>
  a.name === FORMATS.int8.name && b.name === FORMATS.int8.name;

/** Whether both operands lie by rows. */
const byRows = (a: NumberFormat, b: NumberFormat) => a.layout === "rows" && b.layout === "rows";

/** The kernels, the fastest at large products first. */
const PRODUCTS: readonly GemmProduct[] = [
  {
    kernel: "gemm_tensor",
    // Codes and f16 wait in workgroup memory in different orders: both operands are one or the
    // other.
    takes: (a, b) => becomeF16(a, b) && a.bytes === b.bytes,
    needsF16: true,
    matrix: F16_MATRIX,
  },
  { kernel: "gemm_f16", takes: becomeF16, needsF16: true },
  { kernel: "gemm_int8_tensor", takes: areInt8, needsF16: false, matrix: I8_MATRIX },
  { kernel: "gemm_int8", takes: areInt8, needsF16: false },
  { kernel: "gemm_int8_rows", takes: areInt8, needsF16: false },
  { kernel: "gemm", takes: byRows, needsF16: false },
];

/** What a device must tell for its kernels to be chosen. */
export interface GemmCapabilities {
  readonly hasF16: boolean;
  readonly matrixConfigs: readonly SubgroupMatrixConfig[];
}

/** Whether a kernel multiplies operands of these formats, on a device that runs it. */
export function multiplies(kernel: GemmKernel, a: NumberFormat, b: NumberFormat): boolean {
  return PRODUCTS.some((product) => product.kernel === kernel && product.takes(a, b));
}

/**
 * The kernels that multiply operands of these formats on a device, the fastest at large products
 * first: the last runs on every device. None where an operand is int8 and the other is not.
 */
export function kernelsFor(
  device: GemmCapabilities,
  a: NumberFormat,
  b: NumberFormat,
): readonly GemmKernel[] {
  return PRODUCTS.filter(({ takes, needsF16, matrix }) =>
    takes(a, b) && (!needsF16 || device.hasF16) && (!matrix || supportsMatrix(device, matrix))
  ).map(({ kernel }) => kernel);
}
