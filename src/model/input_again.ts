/**
 * Inputs of linear layers that are made again for the backward pass instead of being kept.
 *
 * @module
 */

import type { Matrix } from "../gpu/buffers.ts";
import type { Linear, LinearBackward } from "../layers/method.ts";
import type { LinearInput } from "./norm.ts";

/**
 * The forms in which a linear layer reads its input in its backward pass. If there are any, `make`
 * records what fills them.
 *
 * @param f32 Gives the memory for the f32 one.
 */
export function inputAgain(
  linear: Linear,
  rows: number,
  f32: () => Matrix,
  make: (again: LinearInput) => void,
): Pick<LinearBackward, "input" | "inputCodes"> {
  const input = linear.backwardReadsInput ? f32() : null;
  const codes = linear.backwardReadsCodes ? linear.inputCodes(rows) : null;
  if (input || codes) make({ input, codes });
  return { input, inputCodes: codes };
}
