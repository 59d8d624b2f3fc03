/**
 * Where stochastic rounding of an update has its thresholds from: a key, the place of the element
 * and, where one step's change is added in place, the number of the step. So they are the same on every path, when a run is resumed,
 * and in the CPU twin, tests/oracle/falqon_rounding.ts.
 *
 * @module
 */

import type { Bindings } from "../../gpu/program.ts";
import type { UpdateBase } from "./adapted_part.ts";
import type { StepState } from "../../gpu/step_state.ts";
import { mix32 } from "../../numerics/random.ts";
import type { RandomKey } from "../../numerics/random_key.ts";

/** The thresholds of one tensor. */
export interface StochasticRounding {
  /** See {@linkcode tensorKey}. */
  key: RandomKey;
  /** Has the number of the step on the GPU, with which thresholds go on where a step's change is added in place. */
  state: Pick<StepState, "inputs">;
}

/** The key of tensor number `tensor` under that of a run. */
export function tensorKey({ low, high }: RandomKey, tensor: number): RandomKey {
  return { low: mix32(low + tensor), high: mix32(high + tensor) };
}

/** The bindings of wgsl/falqon/falqon_rounding.wgsl; none where thresholds stay, or rounding is to nearest. */
export function roundingBindings(
  rounding: StochasticRounding | undefined,
  base: UpdateBase,
): Bindings {
  return rounding && base === "in place" ? { inputs: rounding.state.inputs } : {};
}

/** Its parameters for a tensor with `cols` columns. */
export function roundingParams(
  rounding: StochasticRounding | undefined,
  cols: number,
): Record<string, number> {
  if (!rounding) return {};
  const { low, high } = rounding.key;
  return { row_words: Math.ceil(cols / 8), key_low: low, key_high: high };
}
