/**
 * The operands of a matrix product as its kernel takes them: as they are stored, or packed.
 *
 * @module
 */

import type { BufferView, ColumnBlock } from "../../gpu/buffers.ts";
import type { Program } from "../../gpu/program.ts";
import { F16_MATRIX, supportsMatrix } from "../../gpu/subgroup_matrix.ts";
import type { KernelConstants } from "../../gpu/template.ts";
import { formatOf, type NumberFormat } from "../../numerics/formats.ts";
import { type OperandSide, pack, type PackedOperandCache } from "./pack.ts";
import { fragmentLoads, type GemmShape, type GemmVariant } from "./variants.ts";

/** Bindings, constants and parameters of the operands. */
export interface GemmOperands {
  bindings: { a: BufferView; b: BufferView };
  constants: KernelConstants;
  params: Record<string, number>;
  /** The product of the kernel's values is to be multiplied by it. */
  factor: number;
}

/** The sizes of a product, how its operands are stored, and what multiplies them. */
export interface OperandShape extends GemmShape {
  /** Of a kernel that multiplies their formats. */
  variant: GemmVariant;
  /** Whether the contraction runs over the rows of the operand's matrix. */
  aByK: boolean;
  bByK: boolean;
  /** Length of the parts that the contraction is split into. */
  splitK: number;
  /** Where other products take the same right operand. */
  cache?: PackedOperandCache;
}

/** The operands as they are, for the kernel that decodes them itself. */
export function storedOperands(
  _program: Program,
  a: ColumnBlock,
  b: ColumnBlock,
  { k, aType, bType, aByK, bByK, splitK }: OperandShape,
): GemmOperands {
  const [aFormat, bFormat] = [formatOf(aType), formatOf(bType)];
  return {
    bindings: { a: a.matrix, b: b.matrix },
    constants: {
      PACKED: false,
      FIXED_K: false,
      ...storedConstants(aFormat, bFormat),
      A_BY_K: aByK,
      B_BY_K: bByK,
    },
    params: {
      k,
      split_k: splitK,
      a_pitch: a.matrix.pitch,
      a_column: a.column,
      b_pitch: b.matrix.pitch,
      b_column: b.column,
    },
    factor: decodeFactor(aFormat) * decodeFactor(bFormat),
  };
}

/** The operands packed for half precision. */
export function packedOperands(
  program: Program,
  a: ColumnBlock,
  b: ColumnBlock,
  { k, aType, bType, aByK, bByK, splitK, variant, cache }: OperandShape,
): GemmOperands {
  const fragments = variant.kernel === "gemm_tensor";
  const form = fragments ? "fragments" : "pairs";
  const aFormat = formatOf(aType);
  const packed = (block: ColumnBlock, side: OperandSide, byK: boolean, label?: string) => {
    const panel = side === "left" ? variant.tile.BM : variant.tile.BN;
    // Only gradients of weights have no weight among their operands.
    const growsWith = side === "left" || aByK ? "step" : "model";
    return pack(program, { block, side, byK, k, panel, form, left: aFormat, label, growsWith });
  };
  const left = packed(a, "left", aByK);
  const right = cache?.packed ?? packed(b, "right", bByK, cache?.label);
  if (cache) cache.packed = right;
  return {
    bindings: { a: left.matrix, b: right.matrix },
    constants: {
      PACKED: true,
      FIXED_K: fragments,
      ...(fragments && {
        ...fragmentLoads(variant.tile, aFormat),
        A_TYPE: aType,
        B_TYPE: bType,
        CODES: aFormat.codec !== null,
        K: left.k,
        SPLIT_K: splitK,
        IS_SPLIT: splitK < k,
        EMULATE: !supportsMatrix(program.device, F16_MATRIX),
      }),
    },
    params: fragments ? {} : { k: left.k, split_k: splitK },
    factor: left.factor * right.factor,
  };
}

/** The kernel of f32 arithmetic decodes codes through f16 too. */
function decodeFactor({ f16 }: NumberFormat): number {
  return f16?.decodeFactor ?? 1;
}

/**
 * The function that decodes four codes fastest: by shifting them into f16, off by the format's
 * factor.
 */
function decoderOf({ name, f16 }: NumberFormat): string {
  return f16 && f16.decodeFactor !== 1 ? `unpack4_${name}_scaled` : `unpack4_${name}`;
}

function storedConstants(a: NumberFormat, b: NumberFormat): KernelConstants {
  return {
    A_TYPE: a.name,
    B_TYPE: b.name,
    A_DECODE: decoderOf(a),
    B_DECODE: decoderOf(b),
  };
}
