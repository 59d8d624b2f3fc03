/**
 * The gate of attention's output, and its gradient.
 *
 * @module
 */

import type { ColumnBlock, Matrix } from "../../gpu/buffers.ts";
import { linearGrid, type Program } from "../../gpu/program.ts";
import { expectMatrix } from "../shapes.ts";

/** Threads of a workgroup. */
const THREADS = 128;

/** Operands of {@linkcode outputGate}; all f32. */
export interface OutputGateOptions {
  /** [tokens, width]: what attention gave. */
  attended: Matrix;
  /** The gate: columns of the merged output of a linear layer, from a multiple of 16 on. */
  z: ColumnBlock;
  /** [tokens, width] */
  output: Matrix;
}

/** Records `output = attended · sigmoid(z)`. */
export function outputGate(program: Program, options: OutputGateOptions): void {
  const { attended, z, output } = options;
  const { params, grid, cost } = gateCall("outputGate", options);
  expectMatrix("outputGate", "output", output, { rows: attended.rows, cols: attended.cols });
  program.dispatch(
    program.device.kernel("output_gate", { THREADS }),
    { attended, merged: z.matrix, output },
    params,
    grid,
    cost(3),
  );
}

/** Operands of {@linkcode outputGateBackward}. */
export interface OutputGateBackwardOptions extends Omit<OutputGateOptions, "output"> {
  /** [tokens, width]: the gradient of the output before, that of `attended` after. */
  d: Matrix;
  /** Receives the gradient of the gate. */
  dZ: ColumnBlock;
}

/** Records the gradient of {@linkcode outputGate}. */
export function outputGateBackward(program: Program, options: OutputGateBackwardOptions): void {
  const { attended, z, d, dZ } = options;
  const { params, grid, cost } = gateCall("outputGateBackward", options);
  expectMatrix("outputGateBackward", "d", d, { rows: attended.rows, cols: attended.cols });
  expectMatrix("outputGateBackward", "dZ", dZ.matrix, z.matrix);
  if (dZ.column !== z.column) {
    throw new RangeError(`outputGateBackward: dZ begins at column ${dZ.column}, not ${z.column}`);
  }
  program.dispatch(
    program.device.kernel("output_gate_backward", { THREADS }),
    { attended, merged: z.matrix, d, d_merged: dZ.matrix },
    params,
    grid,
    cost(5),
  );
}

function gateCall(kernel: string, { attended, z }: Omit<OutputGateOptions, "output">) {
  const { rows: tokens, cols, pitch } = attended;
  expectMatrix(kernel, "attended", attended, { rows: tokens, cols });
  expectMatrix(kernel, "z", z.matrix, { rows: tokens, cols: z.matrix.cols });
  if (z.cols !== cols || z.column % 16 || z.column + pitch > z.matrix.pitch) {
    throw new RangeError(
      `${kernel}: z has the columns ${z.column} to ${z.column + z.cols}, which must be ${cols} ` +
        "from a multiple of 16 on",
    );
  }
  const vectors = pitch / 4;
  return {
    params: { tokens, vectors, z_vector: z.column / 4, z_vectors: z.matrix.pitch / 4 },
    grid: linearGrid(tokens * vectors, THREADS),
    cost: (passes: number) => ({ bytes: passes * attended.size, label: `${tokens}×${cols}` }),
  };
}
