import { type Matrix, pitchOf } from "../gpu/buffers.ts";
import { linearGrid, type Program } from "../gpu/program.ts";
import { expectMatrix } from "./shapes.ts";

/** Threads of a workgroup. */
const THREADS = 128;

/** What {@linkcode swiglu} reads and writes; all f32. */
export interface SwigluOptions {
  /** [rows, 2·width]: the columns of gate_proj, then those of up_proj. */
  gateUp: Matrix;
  /** [rows, width] */
  output: Matrix;
}

/** Records `output = silu(gate) · up`. */
export function swiglu(program: Program, { gateUp, output }: SwigluOptions): void {
  const { rows, cols: width } = output;
  expectMatrix("swiglu", "output", output, { rows, cols: width });
  expectMatrix("swiglu", "gateUp", gateUp, { rows, cols: 2 * width });
  const { constants, params } = variant(rows, width);
  program.dispatch(
    program.device.kernel("swiglu", constants),
    { gate_up: gateUp, output },
    params,
    linearGrid(rows * params.output_pitch, THREADS),
  );
}

/** What {@linkcode swigluBackward} reads and writes; all f32, no two in the same memory. */
export interface SwigluBackwardOptions {
  /** The forward's input [rows, 2·width]. */
  gateUp: Matrix;
  /** Gradient of the output [rows, width]. */
  dOutput: Matrix;
  /** Receives the gradient of the input [rows, 2·width]. */
  dGateUp: Matrix;
}

/** Records the gradient of {@linkcode swiglu}. */
export function swigluBackward(
  program: Program,
  { gateUp, dOutput, dGateUp }: SwigluBackwardOptions,
): void {
  const { rows, cols: width } = dOutput;
  expectMatrix("swigluBackward", "dOutput", dOutput, { rows, cols: width });
  expectMatrix("swigluBackward", "gateUp", gateUp, { rows, cols: 2 * width });
  expectMatrix("swigluBackward", "dGateUp", dGateUp, { rows, cols: 2 * width });
  const { constants, params } = variant(rows, width);
  program.dispatch(
    program.device.kernel("swiglu_backward", constants),
    { gate_up: gateUp, d_output: dOutput, d_gate_up: dGateUp },
    params,
    linearGrid(rows * (params.input_pitch - params.width), THREADS),
  );
}

/** Whole vectors where the up columns start at one, else single elements. */
function variant(rows: number, width: number) {
  const vectors = width % 4 === 0;
  const step = vectors ? 4 : 1;
  return {
    constants: { ELEMENT: vectors ? "vec4<f32>" : "f32", THREADS },
    params: {
      rows,
      width: width / step,
      input_pitch: pitchOf(2 * width) / step,
      output_pitch: pitchOf(width) / step,
    },
  };
}
