/**
 * Inputs of linear layers that are made again for the backward pass instead of being kept.
 *
 * @module
 */

import type { Linear, LinearBackward } from "../layers/method.ts";
import type { Activations } from "./activations.ts";
import type { LinearInput } from "./norm.ts";

/**
 * The forms in which a linear layer reads its input in its backward pass. If there are any, `make`
 * records what fills them.
 */
export function inputAgain(
  linear: Linear,
  { activations, rows }: { activations: Activations; rows: number },
  name: "normed" | "hidden",
  make: (again: LinearInput) => void,
): Pick<LinearBackward, "input" | "inputCodes"> {
  const input = linear.backwardReadsInput ? activations.get(name, rows) : null;
  const codes = linear.backwardReadsCodes ? linear.inputCodes(rows) : null;
  if (input || codes) make({ input, codes });
  return { input, inputCodes: codes };
}
