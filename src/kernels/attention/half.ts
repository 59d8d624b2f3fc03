/**
 * Attention in packed half-precision arithmetic: q, k and v in f16, sums in f16 for a few products
 * and then in f32. `attention.ts` chooses it on GPUs with f16 but without subgroup matrices.
 *
 * @module
 */

import type { Device } from "../../gpu/device.ts";
import { linearGrid, type Program } from "../../gpu/program.ts";
import type { KernelConstants } from "../../gpu/template.ts";
import { attentionScaledDelta } from "./delta.ts";
import { backwardCall, forwardCall } from "./params.ts";
import type { AttentionBackwardOptions, AttentionForwardOptions } from "./shapes.ts";

/** Rows of a workgroup. */
const ROWS = 64;

/** Bytes of workgroup memory of the largest kernel. */
const WORKGROUP_BYTES = 2 * 16 * (18 + 34) * 16;

/**
 * Components of the widest head whose results an invocation's registers hold. Wider ones are
 * computed in f32: of twice the dims it could keep half the rows only, which costs as many loads
 * as packed arithmetic saves operations.
 */
const MOST_DIMS = 128;

/** Elements per vector of what is written, and of what is read. */
const [UNIT, INPUT_UNIT] = [4, 8];

/**
 * The largest magnitude of a gradient in f16 is at least two to this power: sums of 64 products with
 * values and keys stay far from the end of f16's range.
 */
const GRADIENT_EXPONENT = 2;

/**
 * Whether the kernels can compute an attention, and compute it fast: a GPU with f16, q, k and v in
 * f16, heads of whole fragments that fill the tile, and whole vectors.
 *
 * @param options Those of the forward or of the backward, checked.
 */
export function suitsHalfAttention(
  device: Device,
  options: AttentionForwardOptions | AttentionBackwardOptions,
): boolean {
  const { q, k, v, headDim } = options;
  const written = "dQ" in options
    ? [options.dQ, options.dK, options.dV].map(({ column }) => column)
    : [];
  return device.hasF16 && !device.isFallback && q.matrix.type === "f16" &&
    headDim > 64 && headDim <= MOST_DIMS && headDim % 16 === 0 &&
    [q, k, v].every(({ column }) => column % INPUT_UNIT === 0) &&
    written.every((column) => column % UNIT === 0) &&
    WORKGROUP_BYTES <= device.limits.maxComputeWorkgroupStorageSize;
}

/**
 * Records the forward.
 *
 * @param options Checked, and of a shape that suits (see {@linkcode suitsHalfAttention}).
 */
export function attentionHalfForward(program: Program, options: AttentionForwardOptions): void {
  const { q, heads, headDim } = options;
  const { device } = program;
  const call = forwardCall(options, UNIT, INPUT_UNIT);
  program.dispatch(
    device.kernel("attention_half_forward", {
      ...tileConstants(device, headDim),
      ...call.constants,
    }),
    call.bindings,
    { ...call.params, ...tileParams(device, headDim) },
    [Math.ceil(q.matrix.rows / ROWS), heads],
  );
}

/**
 * Records the backward: delta, dOutput times a power of two in f16, the gradient of the queries,
 * those of keys and values. Each element is written by one workgroup in a fixed order.
 *
 * @param options Checked, and of a shape that suits (see {@linkcode suitsHalfAttention}).
 */
export function attentionHalfBackward(program: Program, options: AttentionBackwardOptions): void {
  const { dOutput, heads, kvHeads, headDim } = options;
  const { device } = program;
  const tokens = dOutput.rows;
  const delta = attentionScaledDelta(program, options, GRADIENT_EXPONENT);
  const halves = program.scratch(tokens, dOutput.cols, "attention gradient", "f16");
  const count = tokens * halves.pitch / INPUT_UNIT;
  program.dispatch(
    device.kernel("attention_half_gradient"),
    { d_output: dOutput, scales: delta, halves },
    { count, at: tokens * delta.pitch },
    linearGrid(count, 256),
  );
  const call = backwardCall({ ...options, dOutput: halves }, delta, UNIT, INPUT_UNIT);
  const constants = tileConstants(device, headDim);
  const params = { ...call.params, ...tileParams(device, headDim) };
  const tiles = Math.ceil(tokens / ROWS);
  program.dispatch(
    device.kernel("attention_half_queries", { ...constants, ...call.queryConstants }),
    call.bindings,
    params,
    [tiles, heads],
  );
  program.dispatch(
    device.kernel("attention_half_keys_values", { ...constants, ...call.keyConstants }),
    call.bindings,
    params,
    [tiles, kvHeads],
  );
}

function tileConstants(device: Device, headDim: number): KernelConstants {
  return { HEAD_DIM: headDim, UNROLL: device.tuning.attentionUnroll };
}

/** Numbers of turns of loops that a driver is not to write out. */
function tileParams(device: Device, headDim: number): Record<string, number> {
  return {
    parts: 16 / device.tuning.attentionUnroll,
    steps: Math.ceil(headDim / 32),
    halves: 2,
  };
}
