/**
 * The gate of an MLP, SwiGLU or GeGLU, and its gradient. Results that a linear layer quantises next
 * are written as codes at once.
 *
 * @module
 */

import { type ElementType, type Matrix, pitchOf } from "../../gpu/buffers.ts";
import { linearGrid, type Program } from "../../gpu/program.ts";
import {
  codesOf,
  expectQuantized,
  expectQuantizedGradient,
  type Quantized,
  type QuantizedGradient,
} from "./quantize.ts";
import { expectRotation, rotate, rotationConstants } from "./rotation.ts";
import { codeConstants } from "../codes.ts";
import { expectMatrix, rowConstants, type RowVariant } from "../shapes.ts";

/** Threads of a workgroup of the kernels that go element by element. */
const THREADS = 128;
/** Element types of the input, and of its gradient beside codes. */
const MERGED_TYPES: readonly ElementType[] = ["f32", "f16"];

/** The activations of a gate, and the files of `wgsl/rows/` that have them. */
const ACTIVATIONS = { silu: "silu.wgsl", geluTanh: "gelu_tanh.wgsl" } as const;

/** SiLU; or GELU in its form with tanh. */
export type GateActivation = keyof typeof ACTIVATIONS;

/** Operands and options of {@linkcode swiglu}. */
export interface SwigluOptions {
  /**
   * f32 or f16 [rows, 2·pitch of the output]: gate_proj's columns, then from the pitch on those of
   * up_proj.
   */
  gateUp: Matrix;
  /** Of the gate. Default `silu`. */
  activation?: GateActivation;
  /** f32 [rows, width]; null where only the codes are wanted. */
  output: Matrix | null;
  /**
   * Receives the output as codes with one scale per row, as `quantize` would make it: rotated, if it
   * says so.
   */
  quantized?: Quantized | null;
  /** How a row is shared where the output is quantised, for measurements. */
  variant?: RowVariant;
}

/**
 * Records `output = activation(gate) · up`.
 *
 * @throws {TypeError} if neither an output nor a place for its codes is given.
 */
export function swiglu(
  program: Program,
  { gateUp, activation = "silu", output, quantized, variant }: SwigluOptions,
): void {
  const result = output ?? quantized?.codes;
  if (!result) throw new TypeError("swiglu: neither output nor quantized is given");
  const { rows, cols: width } = result;
  const pitch = pitchOf(width);
  if (output) expectMatrix("swiglu", "output", output, { rows, cols: width });
  if (quantized) expectQuantized("swiglu", quantized, { rows, cols: width });
  expectMatrix("swiglu", "gateUp", gateUp, { rows, cols: 2 * pitch, types: MERGED_TYPES });
  if (rows === 0 || width === 0) return;
  const { device } = program;
  const params = { rows, vectors: pitch / 4 };
  const gate = { GATE_UP: gateUp.type, ACTIVATION: ACTIVATIONS[activation] };
  if (!quantized) {
    program.dispatch(
      device.kernel("swiglu", { THREADS, ...gate }),
      { gate_up: gateUp, output: result },
      params,
      linearGrid(rows * pitch / 4, THREADS),
      { label: `${rows}×${width}` },
    );
    return;
  }
  const { rotation = 1 } = quantized;
  program.dispatch(
    device.kernel("swiglu_quantized", {
      ...rowConstants(device, pitch / 4, 1, variant, rotation > 1),
      ...rotationConstants("values", rotation),
      ...gate,
      OUTPUT: !!output,
      ...codeConstants(quantized.codes.type),
    }),
    { gate_up: gateUp, ...codesOf(quantized), ...(output && { output }) },
    params,
    linearGrid(rows, 1),
    { label: `${rows}×${width} ${quantized.codes.type}` },
  );
}

/** Operands of {@linkcode swigluBackward}, no two in the same memory. */
export interface SwigluBackwardOptions {
  /** The forward's input, f32 or f16. */
  gateUp: Matrix;
  /** As in the forward. */
  activation?: GateActivation;
  /** Gradient of the output, f32 [rows, width]. */
  dOutput: Matrix;
  /**
   * The block by which the rows of `dOutput` come rotated, as from a layer that rotates its input;
   * they are rotated back: in place where no codes are made. Default 1: none.
   */
  rotation?: number;
  /**
   * Receives the gradient of the input in f32; or, in f16, the scaled values that the codes of
   * `quantized` are made of.
   */
  dGateUp: Matrix;
  /** Receives that gradient as codes with one scale per row, as `quantize` would make it. */
  quantized?: QuantizedGradient | null;
  /** How a row is shared where the gradient is quantised, for measurements. */
  variant?: RowVariant;
}

/** Records the gradient of {@linkcode swiglu}. */
export function swigluBackward(program: Program, options: SwigluBackwardOptions): void {
  const { gateUp, activation = "silu", dOutput, rotation = 1, dGateUp, quantized, variant } =
    options;
  const { rows, cols: width, pitch } = dOutput;
  const merged = { rows, cols: 2 * pitch };
  expectMatrix("swigluBackward", "dOutput", dOutput, { rows, cols: width });
  expectMatrix("swigluBackward", "gateUp", gateUp, { ...merged, types: MERGED_TYPES });
  const types: readonly ElementType[] = quantized ? MERGED_TYPES : ["f32"];
  expectMatrix("swigluBackward", "dGateUp", dGateUp, { ...merged, types });
  if (quantized) expectQuantizedGradient("swigluBackward", quantized, merged);
  expectRotation("swigluBackward", rotation, width);
  if (rows === 0 || width === 0) return;
  const { device } = program;
  const bindings = { gate_up: gateUp, d_output: dOutput, d_gate_up: dGateUp };
  const params = { rows, vectors: pitch / 4 };
  const gate = { GATE_UP: gateUp.type, ACTIVATION: ACTIVATIONS[activation] };
  if (!quantized) {
    rotate(program, { input: dOutput, block: rotation });
    program.dispatch(
      device.kernel("swiglu_backward", { THREADS, ...gate }),
      bindings,
      params,
      linearGrid(rows * pitch / 4, THREADS),
      { label: `${rows}×${width}` },
    );
    return;
  }
  const { codes, columnScales } = quantized;
  program.dispatch(
    device.kernel("swiglu_backward_quantized", {
      ...rowConstants(device, pitch / 4, 2, variant, rotation > 1),
      ...rotationConstants("source", rotation),
      ...gate,
      D_GATE_UP: dGateUp.type,
      COLUMN_SCALES: !!columnScales,
      ...codeConstants(codes.type),
    }),
    {
      ...bindings,
      ...codesOf(quantized),
      ...(columnScales && { column_scales: columnScales }),
    },
    params,
    linearGrid(rows, 1),
    { label: `${rows}×${width} ${codes.type}` },
  );
}
