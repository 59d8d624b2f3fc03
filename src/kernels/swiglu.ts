import type { Matrix } from "../gpu/buffers.ts";
import { linearGrid, type Program } from "../gpu/program.ts";
import { quantize, type Quantized, type QuantizedGradient } from "./quantize.ts";
import { expectMatrix } from "./shapes.ts";

/** Threads of a workgroup. */
const THREADS = 128;

/** What {@linkcode swiglu} reads and writes; f32 but for the codes. */
export interface SwigluOptions {
  /** [rows, 2·pitch of the output]: gate_proj's columns, then from the pitch on those of up_proj. */
  gateUp: Matrix;
  /** [rows, width]; null where only the codes are wanted. */
  output: Matrix | null;
  /** Receives the output in few bits. */
  quantized?: Quantized | null;
}

/** Records `output = silu(gate) · up`. */
export function swiglu(
  program: Program,
  { gateUp, output: wanted, quantized }: SwigluOptions,
): void {
  const { rows, cols: width } = (wanted ?? quantized?.codes)!;
  const output = wanted ?? program.scratch(rows, width, "SwiGLU rows");
  expectMatrix("swiglu", "output", output, { rows, cols: width });
  expectMatrix("swiglu", "gateUp", gateUp, { rows, cols: 2 * output.pitch });
  program.dispatch(
    program.device.kernel("swiglu", { THREADS }),
    { gate_up: gateUp, output },
    { rows, vectors: output.pitch / 4 },
    linearGrid(rows * output.pitch / 4, THREADS),
  );
  if (quantized) quantize(program, { input: output, ...quantized, granularity: "row" });
}

/** What {@linkcode swigluBackward} reads and writes; f32 but for the codes, no two in the same memory. */
export interface SwigluBackwardOptions {
  /** The forward's input. */
  gateUp: Matrix;
  /** Gradient of the output [rows, width]. */
  dOutput: Matrix;
  /** Receives the gradient of the input. */
  dGateUp: Matrix;
  /** Receives that gradient in few bits. */
  quantized?: QuantizedGradient | null;
}

/** Records the gradient of {@linkcode swiglu}. */
export function swigluBackward(
  program: Program,
  { gateUp, dOutput, dGateUp, quantized }: SwigluBackwardOptions,
): void {
  const { rows, cols: width } = dOutput;
  expectMatrix("swigluBackward", "dOutput", dOutput, { rows, cols: width });
  expectMatrix("swigluBackward", "gateUp", gateUp, { rows, cols: 2 * dOutput.pitch });
  expectMatrix("swigluBackward", "dGateUp", dGateUp, { rows, cols: 2 * dOutput.pitch });
  program.dispatch(
    program.device.kernel("swiglu_backward", { THREADS }),
    { gate_up: gateUp, d_output: dOutput, d_gate_up: dGateUp },
    { rows, vectors: dOutput.pitch / 4 },
    linearGrid(rows * dOutput.pitch / 4, THREADS),
  );
  if (quantized) quantize(program, { input: dGateUp, ...quantized, granularity: "row" });
}
