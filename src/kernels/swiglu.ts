import type { Matrix } from "../gpu/buffers.ts";
import { linearGrid, type Program } from "../gpu/program.ts";
import { expectMatrix } from "./shapes.ts";

/** Threads of a workgroup. */
const THREADS = 128;

/** What {@linkcode swiglu} reads and writes; all f32. */
export interface SwigluOptions {
  /** [rows, 2·pitch of the output]: gate_proj's columns, then from the pitch on those of up_proj. */
  gateUp: Matrix;
  /** [rows, width] */
  output: Matrix;
}

/** Records `output = silu(gate) · up`. */
export function swiglu(program: Program, { gateUp, output }: SwigluOptions): void {
  const { rows, cols: width } = output;
  expectMatrix("swiglu", "output", output, { rows, cols: width });
  expectMatrix("swiglu", "gateUp", gateUp, { rows, cols: 2 * output.pitch });
  program.dispatch(
    program.device.kernel("swiglu", { THREADS }),
    { gate_up: gateUp, output },
    { rows, vectors: output.pitch / 4 },
    linearGrid(rows * output.pitch / 4, THREADS),
  );
}

/** What {@linkcode swigluBackward} reads and writes; all f32, no two in the same memory. */
export interface SwigluBackwardOptions {
  /** The forward's input. */
  gateUp: Matrix;
  /** Gradient of the output [rows, width]. */
  dOutput: Matrix;
  /** Receives the gradient of the input. */
  dGateUp: Matrix;
}

/** Records the gradient of {@linkcode swiglu}. */
export function swigluBackward(
  program: Program,
  { gateUp, dOutput, dGateUp }: SwigluBackwardOptions,
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
}
